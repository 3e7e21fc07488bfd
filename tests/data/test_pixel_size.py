import itk
import nibabel
import numpy as np
import pytest

from bundle.data import domain_pixel_size, inference_items
from bundle.data.domain_folder import write_datalist
from bundle.data.image_files import write_png
from bundle.errors import MendableError
from bundle.keys import IMAGE, PIXEL_SIZE

NOT_POSITIVE = (0, -8, float("nan"), float("inf"), True, "abc", [8])


@pytest.fixture
def domain(tmp_path):
    """Write domain folders whose lists tell a number, or none; with one image each."""

    def write(name, nm):
        (tmp_path / name / "images").mkdir(parents=True)
        write_png(tmp_path / name / "images" / "a.png", np.zeros((12, 7), np.uint8))
        write_datalist(tmp_path / name, name, nm, {"test": [{IMAGE: "images/a.png"}]})
        return tmp_path / name

    return write


def _image(path, nm=None):
    """An image whose file tells its pixel size, or does not."""
    path.parent.mkdir(exist_ok=True)
    image = itk.image_from_array(np.zeros((7, 12), np.uint8))
    if nm is not None:
        image.SetSpacing([nm * 1e-6, nm * 1e-6])
    itk.imwrite(image, str(path))
    return path


def _of_images(path, given=None, needed=None):
    """The pixel size of each image to segment, or the only one."""
    items = inference_items(path, "/nowhere", image_pixel_size=given, pixel_size=needed)
    found = [item.get(PIXEL_SIZE) for item in items]
    return found[0] if len(found) == 1 else found


def _refused(call, *words):
    with pytest.raises(MendableError) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("source", "target", "given", "expected"),
    [
        (20.0, 20.0, None, 20.0),
        (20.0, None, None, 20.0),
        (None, 20.0, None, 20.0),
        (None, 20.0, 20, 20.0),
        (None, None, 8, 8.0),
        (20.0, 20.1, 20.15, 20.1),  # the target comes first
        (20.0, 19.81, None, 19.81),
    ],
)
def test_domains_tell_and_else_a_person(domain, source, target, given, expected):
    folders = [domain("target", target), domain("source", source)]
    found = domain_pixel_size(folders, given, required=True)
    assert found == expected and type(found) is float


@pytest.mark.parametrize(("source", "target"), [(20.0, 19.79), (20.0, 20.21), (4.6, 5.0)])
def test_domains_that_differ_are_refused_with_both_folders_and_values(domain, source, target):
    folders = [domain("target", target), domain("source", source)]
    words = ("target/datalist.json", "source/datalist.json", f"{target:g} nm", f"{source:g} nm", "--output-pixel-size")
    for given in (None, source, target):
        _refused(lambda given=given: domain_pixel_size(folders, given, required=True), *words)


@pytest.mark.parametrize("folders", [("source", "target"), ("target", "source")])
def test_a_person_who_contradicts_is_told_where_the_number_stands(domain, folders):
    paths = {"source": domain("source", None), "target": domain("target", 20.0)}
    for given in (8.0, 19.79, 20.21):
        words = (f"--pixel_size {given:g}", f"{paths['target']}/datalist.json says 20 nm")
        _refused(lambda given=given: domain_pixel_size([paths[n] for n in folders], given, required=True), *words)


def test_nobody_tells(domain, tmp_path):
    folders = [domain("source", None), domain("target", None)]
    _refused(
        lambda: domain_pixel_size(folders, None, required=True), "source/datalist.json", "target", "--pixel_size NM"
    )
    assert domain_pixel_size(folders, None, required=False) is None
    _refused(lambda: domain_pixel_size([tmp_path / "none"], None, required=True), f"{tmp_path}/none: no such folder")


def test_synthetic_tissue_does_not_tell_and_takes_what_the_target_or_a_person_says(domain, tmp_path, monkeypatch):
    monkeypatch.chdir(domain("synthetic", 8.0).parent)  # a folder of that name has nothing to say
    assert domain_pixel_size([domain("target", 20.0), "synthetic"], None, required=True) == 20.0
    assert domain_pixel_size(["synthetic", "synthetic"], 12, required=True) == 12.0
    assert domain_pixel_size(["synthetic"], None, required=False) is None
    _refused(lambda: domain_pixel_size(["synthetic"] * 2, None, required=True), "any pixel size; give --pixel_size NM")
    silent = [domain("silent", None), "synthetic"]
    _refused(lambda: domain_pixel_size(silent, None, required=True), "silent/datalist.json: no pixel_size there; give")


def test_a_missing_folder_does_not_tell(domain, tmp_path):
    """MONAI Label has no target folder; a training whose folder is missing names it when it reads its images."""
    assert domain_pixel_size([tmp_path / "none", domain("source", 20.0)], None, required=True) == 20.0
    (tmp_path / "empty").mkdir()
    assert domain_pixel_size([tmp_path / "empty"], 8, required=True) == 8.0


@pytest.mark.parametrize("given", NOT_POSITIVE, ids=str)
def test_a_person_says_a_number_above_0(domain, given):
    folder = domain("source", 20.0)
    _refused(lambda: domain_pixel_size([folder], given, True), f"pixel_size is {given!r}, expected a number above 0")
    _refused(lambda: _of_images(folder, given), f"image_pixel_size is {given!r}, expected a number above 0")


def test_files_then_the_list_then_a_person(domain, tmp_path):
    silent, telling = domain("silent", None), domain("telling", 20.0)
    assert _of_images(silent) is None
    assert _of_images(silent, 8) == 8.0
    assert _of_images(telling) == _of_images(telling / "datalist.json") == _of_images(telling, 20) == 20.0
    _refused(lambda: _of_images(telling, 8), "--image_pixel_size 8", "telling/datalist.json says 20 nm")
    write_datalist(telling, "telling", 20.0, {"test": [{IMAGE: "images/a.png"}, {IMAGE: "images/b.mha"}]})
    file = _image(telling / "images" / "b.mha", 20.1)
    assert _of_images(telling) == [20.0, 20.1]
    _image(file, 5.0)
    _refused(lambda: _of_images(telling), f"{telling}/datalist.json: has pixels of 20 nm", f"{file} of 5 nm")


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd", "a.tif"])
def test_a_file_tells(tmp_path, name):
    file = _image(tmp_path / "in" / name, 8.0)
    assert _of_images(file) == pytest.approx(8.0, rel=1e-4)
    assert _of_images(file.parent, 8) == pytest.approx(8.0, rel=1e-4)
    _refused(lambda: _of_images(file, 20), "--image_pixel_size 20", f"{file} says 8 nm")


def test_nifti_tells_only_with_its_unit(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((12, 7), np.uint8), np.diag([0.008, 0.008, 1, 1]))
    nibabel.save(image, tmp_path / "none.nii")
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "micron.nii")
    assert _of_images(tmp_path / "none.nii") is None
    assert _of_images(tmp_path / "none.nii", 20) == 20.0
    assert _of_images(tmp_path / "micron.nii") == pytest.approx(8.0)


def test_files_may_differ(tmp_path):
    _image(tmp_path / "in" / "a.mha", 8.0)
    _image(tmp_path / "in" / "b.mha", 20.0)
    silent = _image(tmp_path / "in" / "c.png")
    assert _of_images(tmp_path / "in") == [8.0, 20.0, None]
    _refused(
        lambda: _of_images(tmp_path / "in", needed=20.0), f"{silent}: tells no pixel size", "--image_pixel_size NM"
    )
    _refused(lambda: _of_images(tmp_path / "in", given=8.0, needed=20.0), "b.mha says 20 nm")
    silent.unlink()
    assert _of_images(tmp_path / "in", needed=20.0) == [8.0, 20.0]


def test_pixels_that_would_become_too_many_are_refused_before_work(tmp_path):
    path = tmp_path / "large.nrrd"
    sizes = "sizes: 4000 4000\nspace dimension: 2\nspace directions: (0.0009,0) (0,0.0009)"
    path.write_bytes(f"NRRD0004\ntype: uint8\ndimension: 2\n{sizes}\nencoding: raw\n\n".encode())
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + 4000 * 4000)
    _refused(lambda: _of_images(path, needed=5.0), "large.nrrd: resampled by 180, 4000 x 4000 pixels become 720000")
