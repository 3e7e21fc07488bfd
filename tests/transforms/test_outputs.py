import itk
import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from skimage.io import imread, imsave

from bundle.errors import StorageError
from bundle.keys import DENSITY, INSTANCES, PRED
from bundle.transforms import SaveOutputsd, SplitOutputd
from bundle.transforms import outputs as module
from bundle.transforms.outputs import write_like
from tests.loop_disk import fill, loop_disk, need_loop_disks

WIDTH, HEIGHT = 12, 7
GEOMETRY = {"spacing": [0.004, 0.005, 0.03], "origin": [1.0, 2.0, 3.0]}


def _out(logits, density):
    return torch.stack((torch.tensor(logits), torch.tensor(density)))


def test_split_at_the_threshold():
    # sigmoid(1.1) = 0.750..., sigmoid(1.0) = 0.731
    out = _out([[1.1, 1.0, -3.0]], [[-0.2, 0.5, 1.5]])
    item = SplitOutputd(threshold=0.75)({PRED: out})
    assert item[PRED].tolist() == [[[1, 0, 0]]] and item[PRED].dtype == torch.uint8
    assert item[DENSITY].tolist() == [[[0.0, 0.5, 1.0]]]
    assert SplitOutputd()({PRED: out})[PRED].tolist() == [[[1, 1, 0]]]


@pytest.mark.parametrize("threshold", [0, 1, -0.5])
def test_threshold_out_of_range(threshold):
    with pytest.raises(ValueError, match="between 0 and 1"):
        SplitOutputd(threshold=threshold)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_output_that_is_not_finite_names_the_image(value):
    out = MetaTensor(_out([[0.0, value]], [[0.0, 0.0]]), meta={"filename_or_obj": "bad.png"})
    with pytest.raises(ValueError, match=r"bad\.png.*NaN"):
        SplitOutputd()({PRED: out})


def _reference(path, dimensions=2):
    """An image with a geometry that is not the default."""
    rows = np.zeros((1, HEIGHT, WIDTH)[3 - dimensions :], np.uint8)
    if path.name.endswith((".nii", ".nii.gz")):
        affine = np.array([[0.02, 0.001, 0, 5], [-0.001, 0.02, 0, 6], [0, 0, 0.5, 7], [0, 0, 0, 1]])
        image = nibabel.Nifti1Image(rows.T, affine)
        image.header.set_xyzt_units("micron")
        image.header["cal_max"] = 100
        nibabel.save(image, path)
    elif path.suffix == ".png":
        imsave(path, rows, check_contrast=False)
    else:
        image = itk.image_from_array(rows)
        image.SetSpacing(GEOMETRY["spacing"][:dimensions])
        image.SetOrigin(GEOMETRY["origin"][:dimensions])
        turn = np.eye(dimensions)
        turn[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
        if not path.name.endswith((".tif", ".tiff")):
            image.SetDirection(itk.matrix_from_array(turn))
        itk.imwrite(image, str(path))
    return path


def _item(path):
    """A mask at column 10, row 2 alone."""
    pixel = torch.zeros(1, WIDTH, HEIGHT)
    pixel[0, 10, 2] = 1
    return {
        PRED: MetaTensor(pixel[0].byte(), meta={"filename_or_obj": str(path)}),
        DENSITY: pixel / 2,
        INSTANCES: pixel,
    }


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".TIF"])
def test_pictures_in_rows_and_columns(tmp_path, suffix):
    image = _reference(tmp_path / f"a{suffix}")
    SaveOutputsd(output_dir=tmp_path / "out")(_item(image))
    kinds = {"mask": (np.uint8, 255, 1), "density": (None, 128, 0.5), "instances": (np.uint16, 1, 1)}
    for result, (dtype, in_png, in_tiff) in kinds.items():
        rows = imread(tmp_path / f"out/a_{result}{suffix.lower()}")
        assert rows.shape == (HEIGHT, WIDTH)
        assert rows.dtype == (dtype or (np.uint8 if suffix == ".png" else np.float32))
        assert np.argwhere(rows).tolist() == [[2, 10]]
        assert rows[2, 10] == (in_png if suffix == ".png" else in_tiff)
    assert len(list((tmp_path / "out").iterdir())) == 3


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd", ".tif"])
def test_geometry_of_itk_files_is_kept(tmp_path, suffix, dimensions):
    image = _reference(tmp_path / f"a{suffix}", dimensions)
    SaveOutputsd(output_dir=tmp_path / "out")(_item(image))
    like = itk.imread(str(image))
    for result, value in (("mask", 1), ("density", 0.5), ("instances", 1)):
        found = itk.imread(str(tmp_path / f"out/a_{result}{'.mha' if suffix == '.mhd' else suffix}"))
        rows = itk.array_from_image(found)
        assert rows.shape == itk.array_from_image(like).shape
        assert np.argwhere(rows)[:, -2:].tolist() == [[2, 10]] and rows.max() == value
        np.testing.assert_allclose(found.GetSpacing(), like.GetSpacing(), rtol=1e-6)
        np.testing.assert_allclose(found.GetOrigin(), like.GetOrigin())
        np.testing.assert_allclose(*(itk.array_from_matrix(i.GetDirection()) for i in (found, like)), atol=1e-12)
    assert len(list((tmp_path / "out").iterdir())) == 3


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_geometry_of_nifti_is_kept(tmp_path, suffix, dimensions):
    image = _reference(tmp_path / f"a{suffix}", dimensions)
    SaveOutputsd(output_dir=tmp_path / "out")(_item(image))
    like = nibabel.load(image)
    for result, dtype, value in (("mask", np.uint8, 1), ("density", np.float32, 0.5), ("instances", np.uint16, 1)):
        found = nibabel.load(tmp_path / f"out/a_{result}{suffix}")
        array = np.asanyarray(found.dataobj)
        assert array.shape == like.shape and array.dtype == dtype
        assert np.argwhere(array)[:, :2].tolist() == [[10, 2]] and array.max() == value
        np.testing.assert_array_equal(found.affine, like.affine)
        assert found.header.get_xyzt_units()[0] == "micron" and found.header["cal_max"] == 0


def test_half_a_file_is_never_left(tmp_path, monkeypatch):
    image = _reference(tmp_path / "a.png")
    target = tmp_path / "a_mask.png"
    target.write_text("old")

    def interrupted(path, _section, _reference):
        path.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_write_itk", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_like(target, np.ones((WIDTH, HEIGHT), np.uint8), image)
    assert target.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a_mask.png"]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".nrrd", ".mha", ".mhd", ".nii", ".nii.gz"])
def test_full_disk_is_never_taken_for_a_result(tmp_path, suffix):
    """Small files lie in a buffer until they are closed, when ITK does not ask whether they were written."""
    need_loop_disks(tmp_path)
    image = _reference(tmp_path / f"a{suffix}")
    with loop_disk(tmp_path / "a.img", tmp_path / "disk") as disk:
        save = SaveOutputsd(output_dir=disk / "out")
        fill(disk)
        with pytest.raises(StorageError, match=r"a_mask\S+: cannot be written \(No space left on device\); free some"):
            save(_item(image))
        assert not list((disk / "out").iterdir())


def test_what_is_read_again_must_be_what_was_written(tmp_path, monkeypatch):
    image = _reference(tmp_path / "a.png")
    monkeypatch.setattr(itk, "imwrite", lambda image, path, compression: imsave(path, np.zeros((2, 2), np.uint8)))
    with pytest.raises(RuntimeError, match="not what is read again"):
        write_like(tmp_path / "b.png", np.ones((WIDTH, HEIGHT), np.uint8), image)
    assert not (tmp_path / "b.png").exists()


def test_more_instances_than_sixteen_bits_hold(tmp_path):
    item = _item(_reference(tmp_path / "a.tif"))
    item[INSTANCES] = item[INSTANCES] * 65536
    with pytest.raises(ValueError, match=r"65536 instances.*65535.*min_size"):
        SaveOutputsd(output_dir=tmp_path / "out")(item)
    assert not list((tmp_path / "out").iterdir())


def test_mask_without_a_file(tmp_path):
    with pytest.raises(ValueError, match="does not know its file"):
        SaveOutputsd(output_dir=tmp_path)({PRED: torch.zeros(1, 2, 2)})
