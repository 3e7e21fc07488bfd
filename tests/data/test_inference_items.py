import itk
import numpy as np
import pytest

from bundle.data import domain_folder, points
from bundle.data.image_files import write_png
from bundle.data.inference_items import inference_items
from bundle.data.result_files import RESULTS, TABLE
from bundle.errors import DataError
from bundle.keys import IMAGE, LABEL, POINT_LABELS, POINTS

WIDTH, HEIGHT = 12, 7


def _png(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, np.zeros((WIDTH, HEIGHT), np.uint8))
    return path


def _itk(path, rows):
    itk.imwrite(itk.image_from_array(rows), str(path))
    return path


@pytest.fixture
def folder(tmp_path):
    for name in ("a10", "a2"):
        _png(tmp_path / f"in/{name}.png")
    return tmp_path / "in"


@pytest.fixture
def domain(tmp_path):
    for name in ("train_0", "test_0"):
        _png(tmp_path / f"domain/images/{name}.png")
    entries = {name: {IMAGE: f"images/{name}.png", LABEL: "labels/gone.png"} for name in ("train_0", "test_0")}
    domain_folder.write_datalist(
        tmp_path / "domain", "toy", None, {"training": [entries["train_0"]], "test": [entries["test_0"]]}
    )
    points.write_points(
        tmp_path / "domain/clicks.json", {"images/test_0.png": points.Clicks([[11, 6]], [0])}, complete=True
    )
    return tmp_path / "domain"


def _refused(path, *words, output_dir="/nowhere", **options):
    with pytest.raises(DataError) as caught:
        inference_items(path, output_dir, **options)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folder_in_natural_order(folder, tmp_path):
    (folder / "notes.txt").write_text("")
    _png(folder / "sub/b.png")
    assert inference_items(folder, tmp_path / "out") == [
        {IMAGE: str(folder / f"{name}.png"), POINTS: [], POINT_LABELS: []} for name in ("a2", "a10")
    ]


def test_single_image_with_clicks_of_the_command_line(folder, tmp_path):
    items = inference_items(folder / "a2.png", tmp_path, foreground=[[11, 6], [0.9, 0]], background=[[3, 4]])
    assert items == [{IMAGE: str(folder / "a2.png"), POINTS: [[11, 6], [0, 0], [3, 4]], POINT_LABELS: [1, 1, 0]}]


def test_points_file_for_a_folder(folder, tmp_path, monkeypatch):
    (tmp_path / "clicks.csv").write_text("image,x,y,label\na10,11,6,1\na10.png,2,3,0\n")
    monkeypatch.chdir(tmp_path)
    first, second = inference_items("in", "out", points="clicks.csv")
    assert (first[POINTS], second[POINTS], second[POINT_LABELS]) == ([], [[11, 6], [2, 3]], [1, 0])


@pytest.mark.parametrize("name", ["", "datalist.json"])
def test_domain_folder_and_its_list(domain, tmp_path, name):
    expected = {IMAGE: str(domain / "images/test_0.png"), POINTS: [[11, 6]], POINT_LABELS: [0]}
    assert inference_items(domain / name, tmp_path / "out", points="clicks.json") == [expected]
    assert inference_items(domain / name, tmp_path / "out", points=domain / "clicks.json") == [expected]
    (training,) = inference_items(domain / name, tmp_path / "out", split="training")
    assert training[IMAGE].endswith("train_0.png") and training[POINTS] == []


def test_missing_and_unreadable(folder, tmp_path):
    _refused(tmp_path / "nowhere", "nowhere", "no such file or folder", "folder of images")
    (tmp_path / "empty").mkdir()
    _refused(tmp_path / "empty", "holds no images")
    (tmp_path / "a.txt").write_text("")
    _refused(tmp_path / "a.txt", "not one of the image formats")
    (folder / "a2.png").write_bytes(b"nothing")
    _refused(folder, "a2.png", "cannot be read")


def test_stacks(tmp_path):
    _refused(_itk(tmp_path / "s.tif", np.zeros((3, 4, 5), np.uint8)), "s.tif", "stack of 3 sections", "prepare_data")


@pytest.mark.parametrize("point", [[12, 6], [6, 11], [-1, 0]])
def test_clicks_outside(folder, point):
    _refused(folder / "a2.png", "outside", "12 wide and 7 high", foreground=[point])


@pytest.mark.parametrize("given", [[3, 4], [["a", 1]], [[1, 2, 3]], "near", [[float("nan"), 1]], 7])
def test_malformed_clicks(folder, given):
    _refused(folder / "a2.png", "background", "[[x, y], ...]", background=given)


def test_clicks_for_several_images(folder):
    _refused(folder, "single image", "there are 2", "points file", foreground=[[1, 1]])


def test_one_stem_twice(folder, domain, tmp_path):
    _itk(folder / "A2.tif", np.zeros((4, 5), np.uint8))
    _refused(folder, "A2.tif", "a2.png", "same stem")
    _png(domain / "other/test_0.png")
    domain_folder.write_datalist(
        domain, "toy", None, {"test": [{IMAGE: f"{d}/test_0.png"} for d in ("images", "other")]}
    )
    _refused(domain, "other/test_0.png", "images/test_0.png", "same stem")


def test_results_beside_inputs(folder, tmp_path):
    _refused(folder, "a2.png", "without inputs", output_dir=folder / "../in")
    (tmp_path / "file").write_text("")
    _refused(folder, "is a file", output_dir=tmp_path / "file")


def test_resume_leaves_out_what_is_whole(folder, tmp_path):
    for result in RESULTS:
        _png(tmp_path / f"out/a2_{result}.png")
    _png(tmp_path / "out/a10_mask.png")
    assert len(inference_items(folder, tmp_path / "out")) == 2
    assert len(inference_items(folder, tmp_path / "out", resume=True)) == 2  # none of them is in a table
    (tmp_path / "out" / TABLE).touch()
    (left,) = inference_items(folder, tmp_path / "out", resume=True)
    assert left[IMAGE].endswith("a10.png")
    for result in RESULTS:
        _png(tmp_path / f"out/a10_{result}.png")
    assert inference_items(folder, tmp_path / "out", resume=True) == []
