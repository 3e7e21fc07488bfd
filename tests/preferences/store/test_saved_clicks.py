"""The points file as an export of the store: what is imported from it, and that no click is lost on the way."""

import itertools
import json
import os
import random
from contextlib import contextmanager, suppress

import pytest

from bundle.data.domain_folder import load_domain
from bundle.errors import DataError, StorageError
from bundle.preferences.store import saved_clicks
from bundle.preferences.store.click_records import ClicksChangedError
from bundle.preferences.store.click_store import ClickStore
from bundle.preferences.store.judgement_store import JudgementStore
from bundle.preferences.store.records import new_uid
from bundle.preferences.store.saved_clicks import ExportError, SavedClicks
from tests.conftest import HEIGHT, WIDTH, write_domain

IMAGES = [f"images/{split}_{i}.png" for split, count in (("training", 3), ("test", 2)) for i in range(count)]
ONE, TWO, THREE = IMAGES[:3]


@pytest.fixture
def domain(tmp_path):
    return write_domain(tmp_path / "domain", 0, 90)


@pytest.fixture
def store(tmp_path):
    with JudgementStore(tmp_path / "preferences.sqlite") as store:
        yield store


@pytest.fixture
def saved(store, domain):
    return opened(store, domain)


def opened(store, domain):
    """As a server does at its start."""
    found = SavedClicks(store, domain / "points.json", domain, IMAGES, dict.fromkeys(IMAGES, (WIDTH, HEIGHT)))
    found.synchronise()
    return found


def save(saved, image, *pixels, annotator="person:ada"):
    """Replace an image's clicks by foreground clicks on these pixels, as whoever has just read them."""
    return saved.save(image, dict.fromkeys(pixels, 1), saved.of(image).version, annotator, new_uid())


def content(domain):
    return json.loads((domain / "points.json").read_text())


def clicked(domain):
    return {name: list(map(tuple, entry["points"])) for name, entry in content(domain)["points"].items()}


def by_hand(domain, change):
    """Change the file's content as a person does in an editor."""
    found = content(domain)
    change(found["points"])
    (domain / "points.json").write_text(json.dumps(found))


def write(domain, points, complete=False):
    entries = {name: {"points": [list(pixel) for pixel in pixels]} for name, pixels in points.items()}
    (domain / "points.json").write_text(json.dumps({"complete": complete, "points": entries}))


def annotators(store):
    return [record.annotator for record in store.clicks.history()]


def test_training_reads_the_export(saved, domain):
    assert not (domain / "points.json").exists(), "nothing was clicked"
    save(saved, ONE, (5, 6), (7, 8))
    saved.save(TWO, {(1, 2): 0}, 0, "person:bob", new_uid())
    items = load_domain(domain, "training", "points.json")
    assert [item["points"] for item in items] == [[[5, 6], [7, 8]], [[1, 2]], []]
    assert [item["point_labels"] for item in items] == [[1, 1], [0], []]


@pytest.mark.parametrize("complete", [True, False])
def test_a_file_made_by_hand_is_imported_at_the_start(store, domain, complete):
    write(domain, {"training_0": [(1, 1), (2, 2)], "images/test_1.png": [(3, 3)]}, complete)
    saved = opened(store, domain)
    assert clicked(domain) == {ONE: [(1, 1), (2, 2)], IMAGES[4]: [(3, 3)]} and content(domain)["complete"] is complete
    assert annotators(store) == ["import:points.json"] * 3
    opened(store, domain)
    save(saved, ONE, (1, 1), (2, 2), (4, 4))
    assert len(store.clicks.history()) == 4 and content(domain)["complete"] is complete


def test_an_export_that_was_changed_by_hand_is_imported(saved, store, domain):
    save(saved, ONE, (1, 1), (2, 2), (3, 3))
    save(saved, TWO, (4, 4))

    def change(points):
        points[ONE] = {"points": [[1, 1], [2, 2], [9, 9]], "point_labels": [1, 0, 1]}
        del points[TWO]
        points[THREE] = {"points": [[5, 5]]}

    by_hand(domain, change)
    opened(store, domain)
    assert clicked(domain) == {ONE: [(1, 1), (2, 2), (9, 9)], THREE: [(5, 5)]}
    assert saved.of(ONE).pixels == {(1, 1): 1, (2, 2): 0, (9, 9): 1}
    assert annotators(store)[4:] == ["import:points.json"] * 5


def test_what_is_changed_by_hand_while_the_server_runs_is_not_overwritten(saved, store, domain):
    save(saved, ONE, (1, 1))
    version = saved.of(ONE).version
    by_hand(domain, lambda points: points[ONE]["points"].append([9, 9]) or points[ONE]["point_labels"].append(1))
    save(saved, TWO, (4, 4))
    assert clicked(domain) == {ONE: [(1, 1), (9, 9)], TWO: [(4, 4)]}
    with pytest.raises(ClicksChangedError, match=r"import:points\.json saved"):
        saved.save(ONE, {(1, 1): 1, (2, 2): 1}, version, "person:ada", new_uid())


def test_both_changed_since_the_export_and_both_stay(saved, store, domain):
    """The file lies behind, as a server leaves it that is killed between the store and the export."""
    save(saved, ONE, (1, 1), (2, 2))
    store.clicks.save(str(domain / ONE), {(1, 1): 1, (3, 3): 1}, saved.of(ONE).version, "person:bob", new_uid())
    by_hand(domain, lambda points: points.update({ONE: {"points": [[2, 2], [7, 7]]}}))
    opened(store, domain)
    assert saved.of(ONE).pixels == {(3, 3): 1, (7, 7): 1}, "(1, 1) was deleted by hand, (2, 2) by bob"


def test_an_old_export_takes_nothing_back(saved, store, domain):
    save(saved, ONE, (1, 1), (2, 2))
    old = (domain / "points.json").read_bytes()
    save(saved, ONE, (2, 2), (3, 3))
    save(saved, TWO, (4, 4))
    (domain / "points.json").write_bytes(old)
    opened(store, domain)
    assert clicked(domain) == {ONE: [(2, 2), (3, 3)], TWO: [(4, 4)]} and len(store.clicks.history()) == 5


def test_a_deleted_export_is_written_again(saved, store, domain):
    save(saved, ONE, (1, 1))
    (domain / "points.json").unlink()
    opened(store, domain)
    assert clicked(domain) == {ONE: [(1, 1)]}


def test_an_export_that_is_as_it_should_be_is_left_alone(saved, store, domain):
    save(saved, ONE, (1, 1))
    before = (domain / "points.json").stat()
    opened(store, domain)
    saved.synchronise()
    after = (domain / "points.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_two_folders_share_a_store(saved, store, tmp_path):
    other = write_domain(tmp_path / "other", 1, 90)
    save(saved, ONE, (1, 1))
    second = opened(store, other)
    assert second.of_all() == {} and not (other / "points.json").exists()
    save(second, ONE, (2, 2))
    assert saved.of(ONE).pixels == {(1, 1): 1} and second.of(ONE).pixels == {(2, 2): 1}
    assert clicked(saved.folder) == {ONE: [(1, 1)]} and clicked(other) == {ONE: [(2, 2)]}


def test_a_folder_that_was_moved(saved, store, domain, caplog):
    save(saved, ONE, (1, 1), (2, 2))
    moved = domain.rename(domain.with_name("moved"))
    again = opened(store, moved)
    assert again.of(ONE).pixels == {(1, 1): 1, (2, 2): 1}
    (line,) = [record.getMessage() for record in caplog.records]
    assert f"was exported in {domain}, before this folder was moved or copied; 2 clicks imported" in line
    again.check_moved()
    assert len(caplog.records) == 1


def test_a_folder_that_was_moved_without_its_points(saved, store, domain, caplog):
    save(saved, ONE, (1, 1), (2, 2))
    (domain / "points.json").unlink()
    moved = domain.rename(domain.with_name("moved"))
    opened(store, moved).check_moved()
    (line,) = [record.getMessage() for record in caplog.records]
    assert f"holds 2 clicks on images of this name in {domain}, which is gone" in line and "points.json" in line


def test_the_export_of_another_store_only_adds(saved, store, domain, tmp_path):
    save(saved, ONE, (1, 1), (2, 2))
    with JudgementStore(tmp_path / "other.sqlite") as another:
        other = opened(another, domain)
        assert other.of(ONE).pixels == {(1, 1): 1, (2, 2): 1}
        save(other, ONE, (1, 1), (3, 3))
        save(saved, TWO, (4, 4))
        assert clicked(domain) == {ONE: [(1, 1), (2, 2), (3, 3)], TWO: [(4, 4)]}


def test_a_store_that_was_brought_back_from_a_copy_loses_nothing(saved, store, domain, tmp_path):
    save(saved, ONE, (1, 1), (2, 2))
    store.close()
    copy = store.path.read_bytes()
    with JudgementStore(store.path) as later:
        save(opened(later, domain), ONE, (2, 2), (3, 3))
    store.path.write_bytes(copy)
    with JudgementStore(store.path) as back:
        assert opened(back, domain).of(ONE).pixels == {(2, 2): 1, (3, 3): 1}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"points": [[WIDTH, 1]]}, "lies outside of"),
        ({"points": [[-1, 1]]}, "lies outside of"),
        ({"points": [[1, 1]], "point_labels": [3]}, "neither 1"),
        ({"points": "none"}, "expected"),
    ],
)
def test_a_file_that_cannot_be_is_refused_and_left_as_it_is(saved, store, domain, entry, message):
    (domain / "points.json").write_text(json.dumps({"points": {ONE: entry}}))
    before = (domain / "points.json").read_bytes()
    for act in (lambda: opened(store, domain), lambda: save(saved, TWO, (1, 1))):
        with pytest.raises(DataError, match=message) as error:
            act()
        assert str(error.value).startswith(str(domain / "points.json")) and "\n" not in str(error.value)
    assert (domain / "points.json").read_bytes() == before and store.clicks.history() == []


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file(store, domain, kind):
    (domain / "points.json").mkdir() if kind == "folder" else os.mkfifo(domain / "points.json")
    with pytest.raises(DataError, match="is no file"):
        opened(store, domain)


@pytest.mark.parametrize("mark", [None, [], "x", {}, {"store": 1, "folder": "f", "number": 1}, {"number": 1e300}])
def test_a_mark_that_was_spoiled_is_none(saved, store, domain, mark):
    save(saved, ONE, (1, 1))
    found = content(domain)
    (domain / "points.json").write_text(json.dumps({**found, "exported": mark}))
    opened(store, domain)
    assert clicked(domain) == {ONE: [(1, 1)]} and content(domain)["exported"] == found["exported"]


def test_clicks_outside_of_their_image_are_passed_over(saved, store, domain, caplog):
    """Such a record may come with an import, or the image was replaced by a smaller one."""
    store.clicks.save(str(domain / ONE), {(1, 1): 1, (WIDTH, 1): 1}, 0, "person:ada", new_uid())
    for _ in range(2):
        opened(store, domain)
        assert saved.of(ONE).pixels == {(1, 1): 1} and saved.of_all()[ONE].points == [[1, 1]]
    assert clicked(domain) == {ONE: [(1, 1)]}
    assert "1 clicks lie outside of their images and are passed over" in caplog.records[0].getMessage()
    save(saved, ONE, (1, 1), (2, 2))
    assert clicked(domain) == {ONE: [(1, 1), (2, 2)]}


def test_an_export_that_cannot_be_written(saved, store, domain, monkeypatch):
    def full(*_, **__):
        raise StorageError("points.json: cannot be written (No space left on device); free some space and run it again")

    with monkeypatch.context() as patch:
        patch.setattr(saved_clicks, "write_points", full)
        given = (ONE, {(1, 1): 1}, 0, "person:ada", "u")
        with pytest.raises(ExportError, match=r"No space left on device.*clicks are safe in") as error:
            saved.save(*given)
        assert "\n" not in str(error.value)
        assert saved.of(ONE).pixels == {(1, 1): 1} and not (domain / "points.json").exists()
    assert saved.save(*given) == saved.of(ONE).version
    assert clicked(domain) == {ONE: [(1, 1)]} and len(store.clicks.history()) == 1


class KilledError(BaseException):
    """The process has ended here."""


@contextmanager
def killed_at(monkeypatch, step):
    """Let the n-th time that something is written be the end, of the store or of the points file."""
    count = itertools.count(1)

    def ending(real):
        def write(*arguments):
            if next(count) == step:
                raise KilledError
            return real(*arguments)

        return write

    with monkeypatch.context() as patch, suppress(KilledError):
        patch.setattr(ClickStore, "_write", ending(ClickStore._write))
        patch.setattr(saved_clicks, "write_points", ending(saved_clicks.write_points))
        yield


def test_kills_and_hands_in_any_order_lose_nothing(store, domain, monkeypatch):
    """A model of what must be there, and 150 saves, edits and kills against it."""
    draw = random.Random(1)
    wanted: dict[str, set] = {image: set() for image in IMAGES}
    saved = opened(store, domain)
    for _ in range(150):
        image = draw.choice(IMAGES)
        pixel = (draw.randrange(WIDTH), draw.randrange(HEIGHT))
        there = set(saved.of(image).pixels)
        gone = {draw.choice(sorted(there))} if there and draw.random() < 0.3 else set()
        if draw.random() < 0.3 and (domain / "points.json").exists():
            entries = content(domain)["points"].get(image, {"points": []})["points"]
            left = [list(p) for p in {tuple(p) for p in entries} - gone] + [list(pixel)]
            gone &= {tuple(p) for p in entries}
            by_hand(domain, lambda points, i=image, left=left: points.update({i: {"points": left}}))
            wanted[image] = (wanted[image] - gone) | {pixel}
        else:
            pixels = dict.fromkeys([*(there - gone), pixel], 1)
            uid, version, done = new_uid(), saved.of(image).version, False
            # refused where something was done by hand meanwhile
            with killed_at(monkeypatch, draw.choice([0, 0, 0, 1, 2, 3, 4])), suppress(ClicksChangedError):
                saved.save(image, pixels, version, "person:ada", uid)
                done = True
            if done or uid in {record.uid for record in store.clicks.history()}:
                wanted[image] = (wanted[image] - gone) | {pixel}
        if draw.random() < 0.3:
            saved = opened(store, domain)
    saved = opened(store, domain)
    assert {image: set(saved.of(image).pixels) for image in IMAGES} == wanted
    assert {image: set(map(tuple, pixels)) for image, pixels in clicked(domain).items()} == {
        image: pixels for image, pixels in wanted.items() if pixels
    }
