import json
import os
import subprocess
import sys
from pathlib import Path

import itk
import nibabel
import numpy as np
import pytest
from monai.transforms import LoadImage
from PIL import Image
from skimage.io import imread, imsave
from skimage.measure import label as components

from bundle.data.domain_folder import load_domain
from bundle.data.preparation import Preparation, prepare_domain
from bundle.data.simulated_clicks import click_instances, share_of
from bundle.errors import MendableError
from bundle.keys import COMPLETE, IMAGE, LABEL, POINTS
from scripts.prepare_data import main
from tests.image_writers import write_fiji, write_mrc, write_ome

ROOT = Path(__file__).parents[2]
REAL = ROOT / "../shared/data"
RANDOM = np.random.default_rng(0)
STACK = RANDOM.integers(0, 60000, (3, 10, 16)).astype(np.uint16)  # sections, rows, columns: as most libraries have it
PLANE = RANDOM.integers(0, 255, (10, 16)).astype(np.uint8)


def _png(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    imsave(path, rows, check_contrast=False)
    return path


def _prepare(tmp_path, **options):
    return prepare_domain(Preparation(**({"output": tmp_path / "out", "pixel_size": 5.0} | options)))


def _refused(tmp_path, *words, **options):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(MendableError) as caught:
        _prepare(tmp_path, **options)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def _write_nrrd(path, rows):
    sizes = " ".join(map(str, rows.shape[::-1]))
    kind = {"uint8": "uint8", "uint16": "uint16"}[rows.dtype.name]
    header = f"NRRD0004\ntype: {kind}\ndimension: {rows.ndim}\nsizes: {sizes}\nendian: little\nencoding: raw\n\n"
    path.write_bytes(header.encode() + rows.tobytes())


def _write_itk(path, rows):
    itk.imwrite(itk.image_from_array(rows), str(path))


def _write_nifti(path, rows):
    nibabel.save(nibabel.Nifti1Image(rows.T, np.eye(4)), path)


@pytest.fixture
def masked(tmp_path):
    """Two training images with 3 and 2 instances, one test image with 1, laid out as --data wants it."""
    masks = {name: np.zeros((20, 30), np.uint8) for name in ("train/a", "train/b", "test/c")}
    masks["train/a"][2:5, 3:9] = 1
    masks["train/a"][5, 9] = 1  # touches at a corner: one instance with 8 neighbours
    masks["train/a"][10:14, 20:25] = 7
    masks["train/a"][18:20, 0:2] = 7
    masks["train/b"][0:3, 0:3] = 255
    masks["train/b"][8:12, 8:12] = 255
    masks["test/c"][4:9, 15:29] = 1
    for name, mask in masks.items():
        split, stem = name.split("/")
        _png(tmp_path / "data" / split / "images" / f"{stem}.png", RANDOM.integers(0, 255, (20, 30)).astype(np.uint8))
        _png(tmp_path / "data" / split / "labels" / f"{stem}.png", mask)
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("name", "write", "rows"),
    [
        ("s.png", _png, PLANE),
        ("s.png", _png, STACK[0]),
        ("s.tif", _write_itk, PLANE),
        ("s.tiff", _write_itk, STACK),
        ("s.nrrd", _write_nrrd, PLANE),
        ("s.nrrd", _write_nrrd, STACK),
        ("s.mha", _write_itk, PLANE),
        ("s.mha", _write_itk, STACK),
        ("s.nii", _write_nifti, PLANE),
        ("s.nii.gz", _write_nifti, PLANE[None]),
        ("s.nii.gz", _write_nifti, STACK),
    ],
)
def test_every_format_keeps_pixels_depth_and_orientation(tmp_path, name, write, rows):
    write(tmp_path / name, rows)
    _prepare(tmp_path, train=[tmp_path / name])
    files = [Path(item[IMAGE]) for item in load_domain(tmp_path / "out", "training")]
    sections = rows.reshape(-1, 10, 16)
    names = ["train_s.png"] if len(sections) == 1 else [f"train_s_z00{z}.png" for z in range(3)]
    assert [file.name for file in files] == names
    for file, section in zip(files, sections, strict=True):
        assert imread(file).dtype == rows.dtype
        np.testing.assert_array_equal(imread(file), section)


def test_odd_names_of_folders_and_files(tmp_path, masked):
    names = {"a": "c#1 @x", "b": "%y$"}
    for old, new in names.items():
        for kind in ("images", "labels"):
            (masked / "train" / kind / f"{old}.png").rename(masked / "train" / kind / f"{new}.png")
    data = masked.rename(tmp_path / "@data#1")
    prepare_domain(Preparation(output=tmp_path / "a#b", data=data, pixel_size=5.0, points_share=(1.0,)))
    items = load_domain(tmp_path / "a#b", "training", "points_100.json")
    assert {item[IMAGE]: len(item[POINTS]) for item in items} == {
        str(tmp_path / "a#b" / "images" / f"train_{name}.png"): count
        for name, count in zip(names.values(), (3, 2), strict=True)
    }


@pytest.mark.parametrize("suffix", [".mha", ".nii"])
def test_floating_point_is_scaled_by_its_percentiles(tmp_path, suffix):
    rows = np.linspace(-3, 5, 160, dtype=np.float32).reshape(10, 16)
    (_write_nifti if suffix == ".nii" else _write_itk)(tmp_path / f"f{suffix}", rows)
    _prepare(tmp_path, train=[tmp_path / f"f{suffix}"])
    written = imread(tmp_path / "out/images/train_f.png")
    assert written.dtype == np.uint16
    assert (written[0, 0], written[-1, -1]) == (0, 65535)
    low, high = np.percentile(rows, [0.1, 99.9])
    np.testing.assert_allclose(written[4, 4], (rows[4, 4] - low) / (high - low) * 65535, atol=1)


@pytest.mark.parametrize(
    ("dtype", "shift", "same"), [(np.int16, 0, True), (np.int16, -300, False), (np.int32, 0, True)]
)
def test_integers_become_16_bits_as_they_are_unless_negative(tmp_path, dtype, shift, same):
    rows = PLANE.astype(dtype) + dtype(shift)
    _write_itk(tmp_path / "i.mha", rows)
    _prepare(tmp_path, train=[tmp_path / "i.mha"])
    written = imread(tmp_path / "out/images/train_i.png")
    assert written.dtype == np.uint16
    assert np.array_equal(written, rows) is same


def test_constant_floating_point_image(tmp_path):
    _write_itk(tmp_path / "f.mha", np.full((10, 16), 0.5, np.float32))
    _prepare(tmp_path, train=[tmp_path / "f.mha"])
    assert not imread(tmp_path / "out/images/train_f.png").any()


@pytest.mark.parametrize("channels", [3, 4])
def test_gray_stored_as_colour(tmp_path, channels):
    rows = np.repeat(PLANE[..., None], channels, axis=2)
    rows[..., 3:] = 255
    _prepare(tmp_path, train=[_png(tmp_path / "c.png", rows)])
    np.testing.assert_array_equal(imread(tmp_path / "out/images/train_c.png"), PLANE)


def test_opaque_mask_is_not_all_foreground(tmp_path):
    mask = np.zeros((10, 16, 4), np.uint8)
    mask[..., 3] = 255
    mask[2:4, 5:9, :3] = 200
    _prepare(tmp_path, train=[_png(tmp_path / "i.png", PLANE)], train_labels=[_png(tmp_path / "m.png", mask)])
    np.testing.assert_array_equal(imread(tmp_path / "out/labels/train_i.png"), (mask[..., 0] > 0) * np.uint8(255))


def test_unusable_files_are_named_and_nothing_is_written(tmp_path):
    colour = np.repeat(PLANE[..., None], 3, axis=2)
    colour[3, 3] = (1, 2, 3)
    good = _png(tmp_path / "good.png", PLANE)
    _refused(tmp_path, "c.png", "colour", train=[good, _png(tmp_path / "c.png", colour)])
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:120])
    _refused(tmp_path, "cut.png", "cannot be read", train=[good, tmp_path / "cut.png"])
    _write_nifti(tmp_path / "n.nii.gz", STACK)
    (tmp_path / "cut.nii.gz").write_bytes((tmp_path / "n.nii.gz").read_bytes()[:600])
    _refused(tmp_path, "cut.nii.gz", "cannot be read", train=[good, tmp_path / "cut.nii.gz"])
    (tmp_path / "text.mha").write_text("hello")
    _refused(tmp_path, "text.mha", "cannot be read", train=[good, tmp_path / "text.mha"])
    Image.fromarray(PLANE).save(tmp_path / "lossy.tif", compression="jpeg")
    _refused(tmp_path, "lossy.tif", "loss", train=[good, tmp_path / "lossy.tif"])
    Image.fromarray(PLANE).save(tmp_path / "lossy.jpg")
    _refused(tmp_path, "lossy.jpg", "loss", train=[good, tmp_path / "lossy.jpg"])
    _write_itk(tmp_path / "nan.mha", np.full((10, 16), np.nan, np.float32))
    _refused(tmp_path, "nan.mha", "NaN", train=[good, tmp_path / "nan.mha"])
    _refused(tmp_path, "notes.txt", "formats", train=[tmp_path / "good.png", _text(tmp_path / "notes.txt")])
    _refused(tmp_path, "gone.png", "no such file", train=[tmp_path / "gone.png"])


def _text(path):
    path.write_text("notes")
    return path


def test_stray_files_of_a_folder_are_left_out_aloud(tmp_path, caplog):
    _png(tmp_path / "in/2.png", PLANE)
    _png(tmp_path / "in/10.png", PLANE)
    _text(tmp_path / "in/notes.txt")
    _text(tmp_path / "in/.hidden.png")
    _prepare(tmp_path, train=[tmp_path / "in"])
    names = [Path(item[IMAGE]).name for item in load_domain(tmp_path / "out", "training")]
    assert names == ["train_2.png", "train_10.png"]
    assert "notes.txt: left out" in caplog.text


def test_a_click_marks_the_same_pixel_in_input_and_output(tmp_path):
    rows = np.zeros((10, 16), np.uint8)
    rows[2, 13] = 255
    _png(tmp_path / "m.png", rows)
    (tmp_path / "p.csv").write_text("image,x,y\nm,13,2\n")
    _prepare(tmp_path, train=[tmp_path / "m.png"], points=tmp_path / "p.csv")
    (item,) = load_domain(tmp_path / "out", "training", "points.json")
    assert item[POINTS] == [[13, 2]]
    array = LoadImage(reader="ITKReader", ensure_channel_first=True)(item[IMAGE])
    assert array.shape == (1, 16, 10)
    assert array[0, 13, 2] == 255
    assert array.sum() == 255


def test_a_click_follows_the_resampling(tmp_path):
    stack = np.zeros((2, 40, 64), np.uint8)
    stack[1, 8:12, 52:56] = 255  # 4 x 4 pixels at column 52, row 8: one pixel (13, 2) after 5 -> 20 nm
    _write_itk(tmp_path / "v.tif", stack)
    clicks = {"v_z001": {"points": [[52, 8], [55, 11], [63, 39], [0, 0]], "point_labels": [1, 1, 0, 0]}}
    (tmp_path / "p.json").write_text(json.dumps({"complete": True, "points": clicks}))
    prepared = _prepare(tmp_path, train=[tmp_path / "v.tif"], points=tmp_path / "p.json", output_pixel_size=20.0)
    item = load_domain(tmp_path / "out", "training", "points.json")[1]
    assert item[POINTS] == [[13, 2], [13, 2], [15, 9], [0, 0]]
    assert item[COMPLETE]
    rows = imread(item[IMAGE])
    assert rows.shape == (10, 16)
    assert np.unravel_index(rows.argmax(), rows.shape) == (2, 13)
    assert prepared.clicked == {"points.json": {"training": 4, "validation": 0, "test": 0}}


def test_a_click_is_moved_by_its_pixels_centre(tmp_path):
    image = _png(tmp_path / "m.png", np.zeros((40, 60), np.uint8))
    (tmp_path / "p.csv").write_text("image,x,y\nm,35,0\n")
    _prepare(tmp_path, train=[image], points=tmp_path / "p.csv", output_pixel_size=17.5)
    # 60 columns become 17: 35.5 x 17/60 = 10.06, while the left edge, 35 x 17/60 = 9.92, lies in the pixel before
    assert load_domain(tmp_path / "out", "training", "points.json")[0][POINTS] == [[10, 0]]


def test_points_by_hand_are_checked_in_input_pixels(tmp_path):
    image = _png(tmp_path / "m.png", PLANE)
    (tmp_path / "p.csv").write_text("image,x,y\nm,16,2\n")
    _refused(tmp_path, "p.csv", "(16, 2)", "16 wide and 10 high", train=[image], points=tmp_path / "p.csv")
    (tmp_path / "p.csv").write_text("image,x,y\nother,1,2\n")
    _refused(tmp_path, "p.csv", "'other'", train=[image], points=tmp_path / "p.csv")


def test_resampling_keeps_means_positions_and_thin_parts(tmp_path):
    ramp = np.tile(np.arange(0, 240, 4, dtype=np.uint8), (40, 1))  # 40 rows, 60 columns
    mask = np.zeros((40, 60), np.uint8)
    mask[:, 28:32] = 9  # four columns, about one pixel of the output
    _png(tmp_path / "r.png", ramp)
    prepared = _prepare(
        tmp_path, train=[tmp_path / "r.png"], train_labels=[_png(tmp_path / "m.png", mask)], output_pixel_size=17.5
    )
    written, label = imread(tmp_path / "out/images/train_r.png"), imread(tmp_path / "out/labels/train_r.png")
    assert prepared.sizes == {(17, 11)}  # 60 and 40 divided by 3.5
    assert json.loads((tmp_path / "out/datalist.json").read_text())["pixel_size"] == 17.5
    centres = (np.arange(17) + 0.5) * 60 / 17 - 0.5
    np.testing.assert_allclose(written[5, 2:-2], 4 * centres[2:-2], atol=1)
    assert set(np.unique(label)) == {0, 255}
    assert label.any(axis=0).nonzero()[0].tolist() == [8]  # 8 x 60/17 = 28.2 to 31.8 of the input
    assert label[:, 8].all()


def test_simulated_clicks(tmp_path, masked):
    prepared = _prepare(tmp_path, data=masked, points_share=(0.4, 1.0))
    assert prepared.instances == {"training": 5, "test": 1}
    assert prepared.clicked["points_40.json"] == {"training": 2, "validation": 0, "test": 1}
    assert prepared.clicked["points_100.json"] == {"training": 5, "validation": 0, "test": 1}
    for split in ("training", "test"):
        some, every = (load_domain(tmp_path / "out", split, f"points_{share}.json") for share in (40, 100))
        assert not any(item[COMPLETE] for item in some)
        for few, item in zip(some, every, strict=True):
            assert item[COMPLETE]
            assert all(point in item[POINTS] for point in few[POINTS])
            numbers = components(imread(item[LABEL]), connectivity=2)
            assert sorted(numbers[y, x] for x, y in item[POINTS]) == list(range(1, numbers.max() + 1))


def test_the_seed_decides_the_clicks(tmp_path, masked):
    texts = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        _prepare(tmp_path, output=tmp_path / name, data=masked, points_share=(1,), seed=seed)
        texts.append((tmp_path / name / "points_100.json").read_text())
    assert texts[0] == texts[1] != texts[2]


def test_a_click_is_uniform_in_its_instance():
    mask = np.zeros((4, 6))
    mask[1, 2:6] = 1
    random = np.random.default_rng(0)
    drawn = [click_instances(mask, random)[0] for _ in range(400)]
    points, counts = np.unique(drawn, axis=0, return_counts=True)
    assert points.tolist() == [[1, 2], [1, 3], [1, 4], [1, 5]]
    assert counts.min() > 70  # 100 expected, standard deviation 9


def test_shares_are_nested_rounded_and_never_empty():
    clicks = {f"{n}.png": [[n, m] for m in range(5)] for n in range(10)}
    last = {}
    for share, count in ((0.001, 1), (0.05, 3), (0.15, 8), (0.5, 25), (1, 50)):
        kept = share_of(clicks, share, seed=3)
        assert sum(map(len, kept.values())) == count
        assert all(point in kept[image] for image, points in last.items() for point in points)
        last = kept
    assert last == clicks
    assert share_of({"a": []}, 0.5, 0) == {"a": []}


def test_no_labels_keeps_masks_out_of_training_only(tmp_path, masked):
    prepared = _prepare(tmp_path, data=masked, no_labels=True)
    assert prepared.clicked["points_15.json"]["training"] == 1
    assert [file.name for file in (tmp_path / "out/labels").iterdir()] == ["test_c.png"]
    assert not any(LABEL in item for item in load_domain(tmp_path / "out", "training"))


def test_images_without_masks(tmp_path):
    prepared = _prepare(tmp_path, test=[_png(tmp_path / "i.png", PLANE)], name="toy")
    assert prepared.clicked == {}
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["datalist.json", "images"]
    datalist = json.loads((tmp_path / "out/datalist.json").read_text())
    entry = {"image": "images/test_i.png"}
    assert datalist == {"name": "toy", "pixel_size": 5.0, "training": [], "validation": [], "test": [entry]}


def test_validation_is_the_end_of_the_stack(tmp_path):
    _write_itk(tmp_path / "v.mha", STACK)
    _prepare(tmp_path, train=[tmp_path / "v.mha"], validation_share=0.3)
    assert [Path(i[IMAGE]).name for i in load_domain(tmp_path / "out", "validation")] == ["validation_v_z002.png"]
    assert len(load_domain(tmp_path / "out", "training")) == 2
    _refused(tmp_path, "none to train on", train=[tmp_path / "v.mha"], validation_share=0.9, overwrite=True)


def test_masks_pair_by_stem(tmp_path, masked):
    images, labels = masked / "train/images", masked / "train/labels"
    (labels / "b.png").rename(labels / "z.png")
    _refused(tmp_path, "z.png", "no image", train=[images], train_labels=[labels])
    (labels / "z.png").unlink()
    _png(images / "c.png", PLANE)
    _refused(tmp_path, "no mask has the stem", train=[images], train_labels=[labels])
    _refused(tmp_path, "c.png", "size", train=[images / "c.png"], train_labels=[labels / "a.png"])
    _refused(tmp_path, "would become images/train_a.png", train=[images / "a.png", images / "a.png"])


@pytest.mark.parametrize(("spacing", "expected"), [((5e-6, 5e-6), 5.0), ((1.0, 1.0), None), ((5e-6, 8e-6), None)])
def test_pixel_size_of_the_file(tmp_path, spacing, expected):
    image = itk.image_from_array(PLANE)
    image.SetSpacing(spacing)
    itk.imwrite(image, str(tmp_path / "s.mha"))
    if expected is None:
        _refused(tmp_path, "s.mha", "--pixel-size", train=[tmp_path / "s.mha"], pixel_size=None)
    else:
        assert _prepare(tmp_path, train=[tmp_path / "s.mha"], pixel_size=None).pixel_size == expected


def test_files_of_several_pixel_sizes_are_resampled_to_one(tmp_path):
    """A square of 400 nm in the calibration of Fiji, of OME and of MRC."""
    writers = (("a.tif", 5.0, write_fiji), ("b.tif", 8.0, write_ome), ("c.mrc", 40.0, write_mrc))
    files = []
    for name, nm, write in writers:
        rows = np.zeros((round(800 / nm), round(1600 / nm)), np.int8 if name == "c.mrc" else np.uint8)
        rows[: round(400 / nm), round(400 / nm) : round(800 / nm)] = 100
        files.append(write(tmp_path / name, rows, nm))
    prepared = _prepare(tmp_path, train=files, pixel_size=None, output_pixel_size=20.0)
    assert prepared.sizes == {(80, 40)}
    for name in ("a", "b", "c"):
        rows, cols = np.nonzero(imread(tmp_path / f"out/images/train_{name}.png") > 50)
        assert (rows.min(), rows.max(), cols.min(), cols.max()) == (0, 19, 20, 39)
    _refused(tmp_path, "b.tif", "8 nm", "5", "--output-pixel-size", train=files, pixel_size=None, output=tmp_path / "o")


def test_pixel_size_of_nifti_needs_its_unit(tmp_path):
    image = nibabel.Nifti1Image(PLANE.T, np.diag([0.008, 0.008, 1, 1]))
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "s.nii")
    assert _prepare(tmp_path, train=[tmp_path / "s.nii"], pixel_size=None).pixel_size == 8.0
    _png(tmp_path / "s2.png", PLANE)
    both = [tmp_path / "s.nii", tmp_path / "s2.png"]
    _refused(tmp_path, "s2.png", "--pixel-size", train=both, pixel_size=None, output=tmp_path / "o")


@pytest.mark.parametrize(
    "options",
    [
        {"pixel_size": 0},
        {"output_pixel_size": float("nan")},
        {"validation_share": 1},
        {"points_share": [0]},
        {"points_share": [15]},
        {"seed": -1},
        {"train": []},
        {"data": Path("nowhere")},
    ],
)
def test_impossible_options(tmp_path, options):
    image = [_png(tmp_path / "i.png", PLANE)]
    _refused(tmp_path, **({"train": [] if "data" in options else image} | options))


def test_existing_folders_are_safe(tmp_path, masked):
    out = tmp_path / "out"
    out.mkdir()
    _prepare(tmp_path, data=masked)
    _refused(tmp_path, "not empty", "--overwrite", data=masked)
    _text(out / "points_mine.json")
    _prepare(tmp_path, data=masked, overwrite=True)
    assert not (out / "points_mine.json").exists()
    _refused(tmp_path, "inside of the output", train=[out / "images"], overwrite=True)
    _refused(tmp_path, "no domain folder", data=masked, output=masked, overwrite=True)


def test_an_interrupted_overwrite_keeps_the_old_folder(tmp_path, masked):
    _prepare(tmp_path, data=masked)
    before = {file: file.read_bytes() for file in (tmp_path / "out").rglob("*.*")}
    broken = masked / "test/images/c.png"
    broken.write_bytes(broken.read_bytes()[:200])
    _refused(tmp_path, "c.png", "cannot be read", data=masked, overwrite=True)
    assert {file: file.read_bytes() for file in (tmp_path / "out").rglob("*.*")} == before


def test_command_line_prints_a_summary(tmp_path, masked, capsys):
    arguments = ["--data", str(masked), "--output", str(tmp_path / "out"), "--pixel-size", "5"]
    assert main([*arguments, "--points-share", "0.4", "1.0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == [
        "30 x 20 pixels (width x height) of 5 nm",
        "training: 2 images, 2 with a mask",
        "test: 1 images, 1 with a mask",
        "points_40.json: training 2 (of 5 instances), test 1 (of 1 instances) clicks",
        "points_100.json: training 5 (of 5 instances), test 1 (of 1 instances) clicks",
    ]
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_command_line_refuses_in_one_line(tmp_path):
    (tmp_path / "x.png").write_text("hello")
    command = [sys.executable, "-m", "scripts.prepare_data", "--train", "x.png", "--output", "out"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith("prepare_data: x.png: cannot be read")
    assert done.stderr.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["x.png"]


@pytest.mark.skipif(not REAL.is_dir(), reason="the real EM of ../shared/data is not here")
def test_real_sections(tmp_path):
    data = REAL / "lucchi-pp/train"
    names = [f"{data}/%s/{section:03d}.png" for section in (0, 5)]
    prepared = _prepare(
        tmp_path,
        train=[name % "images" for name in names],
        train_labels=[name % "labels" for name in names],
        output_pixel_size=20.0,
        points_share=(1,),
    )
    assert prepared.sizes == {(256, 192)}
    for name, item in zip(names, load_domain(tmp_path / "out", "training", "points_100.json"), strict=True):
        before, after = imread(name % "images"), imread(item[IMAGE])
        assert after.shape == (192, 256)
        assert abs(before.mean() - after.mean()) < 1
        assert abs((imread(name % "labels") > 0).mean() - (imread(item[LABEL]) > 0).mean()) < 0.003
        assert all(imread(item[LABEL])[y, x] == 255 for x, y in item[POINTS])
