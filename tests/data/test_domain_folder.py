import json

import numpy as np
import pytest

from bundle.data import domain_folder
from bundle.data.domain_folder import check_crowding, load_domain
from bundle.data.image_files import write_png
from bundle.data.points import Clicks, crowded, read_points, write_points
from bundle.errors import DataError
from bundle.keys import COMPLETE, IMAGE, LABEL, POINT_LABELS, POINTS

WIDTH, HEIGHT = 12, 7


def _entry(name, labelled=True):
    return {IMAGE: f"images/{name}.png"} | ({LABEL: f"labels/{name}.png"} if labelled else {})


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    for name in ("train_0", "train_1", "test_0"):
        write_png(tmp_path / f"images/{name}.png", np.zeros((WIDTH, HEIGHT), np.uint8))
        write_png(tmp_path / f"labels/{name}.png", np.zeros((WIDTH, HEIGHT), np.uint8))
    lists = {"training": [_entry("train_0"), _entry("train_1", labelled=False)], "test": [_entry("test_0")]}
    domain_folder.write_datalist(tmp_path, "toy", 20.0, lists)
    return tmp_path


def _points(folder, entries, complete=False):
    (folder / "points.json").write_text(json.dumps({"complete": complete, "points": entries}))
    return "points.json"


def _refused(folder, *words, **options):
    with pytest.raises(DataError) as caught:
        load_domain(folder, "training", **options)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_items_of_a_split(folder):
    points = _points(folder, {"images/train_0.png": {"points": [[11, 6], [0, 2]], "point_labels": [1, 0]}}, True)
    first, second = load_domain(folder, "training", points)
    assert first == {
        IMAGE: str(folder / "images/train_0.png"),
        LABEL: str(folder / "labels/train_0.png"),
        POINTS: [[11, 6], [0, 2]],
        POINT_LABELS: [1, 0],
        COMPLETE: True,
    }
    assert second == {
        IMAGE: str(folder / "images/train_1.png"),
        POINTS: [],
        POINT_LABELS: [],
        COMPLETE: True,
    }
    assert domain_folder.read_datalist(folder)["pixel_size"] == 20.0


def test_without_points_nothing_is_complete(folder):
    assert [(i[POINTS], i[POINT_LABELS], i[COMPLETE]) for i in load_domain(folder, "test")] == [([], [], False)]


def test_paths_are_absolute(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert load_domain(folder.name, "test")[0][IMAGE] == str(folder / "images/test_0.png")


def test_points_by_absolute_path(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("elsewhere") / "clicks.json"
    write_points(path, {"images/test_0.png": Clicks([[3, 4]], [1])}, complete=False)
    assert load_domain(folder, "test", path)[0][POINTS] == [[3, 4]]


def test_labels_may_be_gone_when_not_asked_for(folder):
    (folder / "labels/train_0.png").unlink()
    assert LABEL not in load_domain(folder, "training", labels=False)[0]
    _refused(folder, "labels/train_0.png", "no such file")


def test_label_of_another_size(folder):
    write_png(folder / "labels/train_0.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    _refused(folder, "labels/train_0.png", "(7, 12)", "(12, 7)")


def test_missing_things_are_named(folder):
    (folder / "images/train_1.png").unlink()
    _refused(folder, "images/train_1.png", "no such file")
    _refused(folder / "nowhere", "nowhere", "no such folder")
    _refused(folder, "nothing.json", "no such file", points="nothing.json")
    with pytest.raises(DataError, match=r"no split 'validation'.*training, test"):
        load_domain(folder, "validation")
    (folder / "datalist.json").unlink()
    _refused(folder, "datalist.json", "no such file")


def test_unreadable_image(folder):
    (folder / "images/train_0.png").write_bytes(b"not a picture")
    _refused(folder, "images/train_0.png", "cannot be read")


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"training": {}}', '{"training": [{"label": "x"}]}', '{"pixel_size": -1}']
)
def test_malformed_datalist(folder, content):
    (folder / "datalist.json").write_text(content)
    _refused(folder, "datalist.json")


# Column first: (11, 6) is the last pixel, and (6, 11) lies outside.
@pytest.mark.parametrize("point", [[12, 6], [11, 7], [6, 11], [-1, 0], [0, -0.5]])
def test_point_outside_of_its_image(folder, point):
    points = _points(folder, {"images/train_0.png": {"points": [point]}})
    _refused(folder, "outside", "train_0.png", "12 wide and 7 high", points=points)


def test_point_of_another_split_is_ignored_and_of_no_split_refused(folder):
    assert not load_domain(folder, "training", _points(folder, {"test_0": {"points": [[1, 1]]}}))[0][POINTS]
    points = _points(folder, {"images/train_7.png": {"points": [[1, 1]]}})
    _refused(folder, "points.json", "images/train_7.png", "not in the list", points=points)


@pytest.mark.parametrize(
    "entry",
    [
        {"points": [[1, 2, 3]]},
        {"points": [["a", 2]]},
        {"points": [[None, 2]]},
        {"points": [[1, 2]], "point_labels": [2]},
        {"points": [[1, 2]], "point_labels": [0.5]},
        {"points": [[1, 2]], "point_labels": []},
        {"points": 3},
        [[1, 2]],
    ],
)
def test_malformed_points(folder, entry):
    _refused(folder, "points.json", "train_0", points=_points(folder, {"images/train_0.png": entry}))


@pytest.mark.parametrize("content", ["[]", "{", "{}", '{"points": []}', '{"points": {}, "complete": "yes"}'])
def test_malformed_points_file(folder, content):
    (folder / "points.json").write_text(content)
    _refused(folder, "points.json", points="points.json")


def test_csv_names_images_by_path_name_or_stem(tmp_path):
    path = tmp_path / "clicks.csv"
    path.write_text("\ufeffimage,x,y,label\nimages/a.png,1,2,\na.png,3.9,4,0\n\na,5,6,1\nb,7,8,1\n", encoding="utf-8")
    found = read_points(path, ["images/a.png", "images/b.png"])
    assert found.clicks["images/a.png"] == Clicks([[1, 2], [3, 4], [5, 6]], [1, 0, 1])
    assert found.clicks["images/b.png"] == Clicks([[7, 8]], [1])
    assert not found.complete


def test_ambiguous_name_needs_more_of_its_path(tmp_path):
    path = tmp_path / "clicks.csv"
    path.write_text("image,x,y\n0.png,1,2\n")
    with pytest.raises(DataError, match=r"'0\.png' may be any of a/0\.png, b/0\.png"):
        read_points(path, ["a/0.png", "b/0.png"])
    path.write_text("image,x,y\nb/0,1,2\n")
    assert list(read_points(path, ["a/0.png", "b/0.png"]).clicks) == ["b/0.png"]


@pytest.mark.parametrize("content", ["", "name,x,y\na,1,2\n", "image,x,y\na,1\n", "image,x,y\na,b,1\n"])
def test_malformed_csv(tmp_path, content):
    path = tmp_path / "clicks.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=r"clicks\.csv"):
        read_points(path, ["a.png"])


def test_points_survive_writing(tmp_path):
    clicks = {"images/a.png": Clicks([[1, 2], [3, 4]], [1, 0])}
    write_points(tmp_path / "p.json", clicks, complete=True)
    assert read_points(tmp_path / "p.json", ["images/a.png"]) == (clicks, True)


def test_failed_writing_keeps_the_old_file(tmp_path):
    write_points(tmp_path / "p.json", {}, complete=True)
    before = (tmp_path / "p.json").read_text()
    with pytest.raises(TypeError):
        write_points(tmp_path / "p.json", {"a": Clicks([[object(), 1]], [1])}, complete=False)
    assert (tmp_path / "p.json").read_text() == before
    assert [file.name for file in tmp_path.iterdir()] == ["p.json"]


def test_crowded_by_hand():
    points = [[0, 0], [3, 0], [4, 0], [0, 5]]
    assert crowded([], (4, 4)) == 0
    assert crowded(points, (1, 1)) == 1
    assert crowded(points, (4, 1)) == 2  # columns 0 to 3 hold two, 3 to 6 hold two
    assert crowded(points, (5, 1)) == 3
    assert crowded(points, (5, 5)) == 3  # rows 0 to 4 do not reach row 5
    assert crowded(points, (5, 6)) == 4
    assert crowded([[2, 2], [2, 2]], (1, 1)) == 2


def test_crowded_agrees_with_trying_every_window():
    random = np.random.default_rng(0)
    for _ in range(20):
        points = np.stack([random.integers(0, 17, 30), random.integers(0, 11, 30)], axis=1)
        width, height = random.integers(1, 9, 2)
        inside = [
            ((points >= (x, y)) & (points < (x + width, y + height))).all(axis=1).sum()
            for x in range(17 - width + 1)
            for y in range(11 - height + 1)
        ]
        assert crowded(points.tolist(), (width, height)) == max(inside)


def test_crowding_is_refused_with_the_remedy():
    item = {IMAGE: "a.png", POINTS: [[0, 0], [7, 7], [8, 0]]}
    check_crowding([item], window=8, max_points=2)
    with pytest.raises(DataError, match=r"a\.png: 3 clicks .* 9 x 9 .*max_points is 2.*Set max_points to 3"):
        check_crowding([item], window=9, max_points=2)
