"""Clicks in a store: versions, saves that are sent again, JSON Lines."""

import json
import sqlite3
from dataclasses import replace

import pytest

from bundle.errors import DataError
from bundle.preferences.store.click_records import ClickRecord, ClicksChangedError
from bundle.preferences.store.judgement_store import Judgement, JudgementStore
from tests.preferences.store.test_sqlite_file import QUESTION

A, B = "/d/images/a.png", "/e/images/a.png"


@pytest.fixture
def store(tmp_path):
    with JudgementStore(tmp_path / "preferences.sqlite") as store:
        yield store


def test_the_clicks_of_an_image_are_what_its_records_leave(store):
    first = store.clicks.save(A, {(1, 1): 1, (2, 2): 0}, 0, "person:ada", "a")
    second = store.clicks.save(A, {(2, 2): 1, (3, 3): 1}, first, "person:bob", "b")
    third = store.clicks.save(A, {(2, 2): 1, (3, 3): 1, (1, 1): 1}, second, "person:ada", "c")
    assert store.clicks.of(A) == ({(2, 2): 1, (3, 3): 1, (1, 1): 1}, third)
    assert list(store.clicks.of(A).pixels) == [(2, 2), (3, 3), (1, 1)], "in the order of clicking"
    assert store.clicks.of(A, second).pixels == {(2, 2): 1, (3, 3): 1}
    assert store.clicks.of(A, first).pixels == {(1, 1): 1, (2, 2): 0}
    assert store.clicks.of(B) == ({}, 0), "an image of this name in another folder"
    store.clicks.save(B, {(9, 9): 1}, 0, "person:ada", "d")
    assert store.clicks.of(A).version == third
    assert store.clicks.of_all(store.clicks.last()) == {A: store.clicks.of(A).pixels, B: {(9, 9): 1}}
    assert len(store.clicks.history()) == 7


def test_nothing_new_is_no_record(store):
    version = store.clicks.save(A, {(1, 1): 1}, 0, "person:ada", "a")
    assert store.clicks.save(A, {(1, 1): 1}, version, "person:bob", "b") == version
    assert len(store.clicks.history()) == 1


def test_a_save_of_another_version_is_refused(store):
    version = store.clicks.save(A, {(1, 1): 1}, 0, "person:ada", "a")
    for wrong in (0, version - 1, version + 1):
        with pytest.raises(ClicksChangedError, match="person:ada saved clicks at 2") as error:
            store.clicks.save(A, {(2, 2): 1}, wrong, "person:bob", "b")
        assert error.value.clicks == ({(1, 1): 1}, version)
        assert (error.value.annotator, error.value.created_at) == ("person:ada", store.clicks.history()[0].created_at)
    assert len(store.clicks.history()) == 1


def test_a_save_that_is_sent_again(store):
    given = (A, {(1, 1): 1, (2, 2): 1}, 0, "person:ada", "a")
    first = store.clicks.save(*given)
    store.clicks.save(A, {(5, 5): 1}, first, "person:bob", "b")
    assert store.clicks.save(*given) == first
    assert store.clicks.of(A).pixels == {(5, 5): 1}, "as the later one left it"
    for change in ((B, *given[1:]), (A, {(1, 1): 1}, *given[2:]), (*given[:3], "person:bob", "a")):
        with pytest.raises(DataError, match="uid a belongs to another save"):
            store.clicks.save(*change)


@pytest.mark.parametrize(
    "change",
    [
        {"image": ""},
        {"image": "a\0b"},
        {"x": -1},
        {"x": 1 << 20},
        {"y": 1.5},
        {"y": True},
        {"label": 2},
        {"label": True},
        {"action": "move"},
        {"annotator": "ada"},
        {"annotator": "robot:ada"},
        {"created_at": "today"},
        {"uid": ""},
        {"uid": "a\nb"},
    ],
)
def test_malformed_records_are_refused_and_none_is_added(tmp_path, store, change):
    fine = ClickRecord(A, 1, 2, 1, "add", "person:ada")
    with pytest.raises(DataError, match=rf"{next(iter(change))} is .*, expected "):
        store.clicks.add_many([fine, replace(fine, **change)])
    lines = [json.dumps(vars(record)) for record in (fine, replace(fine, **change))]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"a\.jsonl: line 2: .* is .*, expected ") as error:
        store.import_jsonl(tmp_path / "a.jsonl")
    assert "\n" not in str(error.value)
    assert store.clicks.history() == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE clicks SET label = 0",
        "DELETE FROM clicks",
        "REPLACE INTO clicks SELECT number, 'u', image, x, y, 0, action, annotator, created_at FROM clicks",
        "REPLACE INTO clicks SELECT 99, uid, image, x, y, 0, action, annotator, created_at FROM clicks",
        "UPDATE about SET value = 'x'",
        "DELETE FROM about",
        "REPLACE INTO about VALUES ('id', 'x')",
    ],
)
def test_other_programs_cannot_change_or_delete(store, statement):
    store.clicks.save(A, {(1, 1): 1}, 0, "person:ada", "a")
    before = store.clicks.history(), store.clicks.id
    raw = sqlite3.connect(store.path)
    with pytest.raises(sqlite3.IntegrityError, match="only ever added"):
        raw.execute(statement)
    raw.close()
    assert (store.clicks.history(), store.clicks.id) == before


@pytest.mark.parametrize(
    "values", ["-1, 1, 1, 'add'", "'a', 1, 1, 'add'", "1, 1.5, 1, 'add'", "1, 1, 2, 'add'", "1, 1, 1, 'x'"]
)
def test_other_programs_cannot_add_what_is_no_click(store, values):
    raw = sqlite3.connect(store.path)
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        raw.execute(
            "INSERT INTO clicks (uid, image, x, y, label, action, annotator, created_at) "
            f"VALUES ('u', '/a.png', {values}, 'person:ada', '2024-02-29T00:00:00+00:00')"
        )
    raw.close()


def test_json_lines_carry_clicks_and_judgements(tmp_path, store):
    store.open_questions([QUESTION])
    store.add(Judgement(QUESTION, 1, "person:ada", 1.0))
    version = store.clicks.save(A, {(1, 1): 1, (2, 2): 0}, 0, "person:ada", "a")
    store.clicks.save(A, {(1, 1): 1}, version, "person:bob", "b")
    store.export_jsonl(tmp_path / "a.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert len(lines) == 4 and lines[0]["chosen"] == 1
    assert lines[3] == {**vars(store.clicks.history()[2])}
    assert lines[3]["action"] == "remove" and lines[3]["annotator"] == "person:bob"
    with JudgementStore(tmp_path / "other.sqlite") as other:
        before = other.clicks.save(A, {(1, 1): 0, (7, 7): 1}, 0, "person:eve", "e")
        assert other.import_jsonl(tmp_path / "a.jsonl") == 4
        assert other.import_jsonl(tmp_path / "a.jsonl") == 0
        assert other.clicks.of(A).pixels == {(7, 7): 1, (1, 1): 1}, "imported records come last"
        assert other.clicks.of(A).version > before, "so that an open page cannot overwrite them"
        assert other.history() == store.history() and other.clicks.id != store.clicks.id
    record = lines[1] | {"label": 0}
    (tmp_path / "b.jsonl").write_text(json.dumps(record))
    with pytest.raises(DataError, match=r"b\.jsonl: line 1: .*uid a belongs to another click"):
        store.import_jsonl(tmp_path / "b.jsonl")


def test_json_lines_without_clicks_are_read_as_before(tmp_path, store):
    store.open_questions([QUESTION])
    store.add(Judgement(QUESTION, 1, "person:ada", 1.0))
    store.export_jsonl(tmp_path / "a.jsonl")
    with JudgementStore(tmp_path / "other.sqlite") as other:
        assert other.import_jsonl(tmp_path / "a.jsonl") == 1
        assert other.history() == store.history() and other.clicks.history() == []


@pytest.mark.parametrize("column, blob", [("uid", b"\xff"), ("annotator", b"person:ada"), ("created_at", b"now")])
def test_a_damaged_record_is_passed_over(tmp_path, caplog, column, blob):
    path = tmp_path / "a.sqlite"
    with JudgementStore(path) as store:
        store.clicks.save("/a.png", {(1, 2): 1}, 0, "person:ada", "0" * 32)
        version = store.clicks.of("/a.png").version
        store.clicks.save("/a.png", {(1, 2): 1, (3, 4): 0}, version, "person:ada", "1" * 32)
    with sqlite3.connect(path) as file:
        file.execute("DROP TRIGGER clicks_UPDATE")
        file.execute("PRAGMA ignore_check_constraints = ON")
        file.execute(f"UPDATE clicks SET {column} = ? WHERE x = 3", (blob,))
    with JudgementStore(path) as store:
        assert [(record.x, record.y) for record in store.clicks.history()] == [(1, 2)]
        store.export_jsonl(tmp_path / "a.jsonl")
    assert "malformed" in caplog.text
