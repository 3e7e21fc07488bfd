"""What happens to files: deleted, held, spoiled, on a full or a read-only disk."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from bundle.errors import DataError, StorageError
from bundle.preferences.store.judgement_store import Candidate, Judgement, JudgementStore, Question

CANDIDATES = (Candidate("teacher", "0"), Candidate("student", "1"))
QUESTION = Question("/d/a.png", "hash", "/c/a.npz", CANDIDATES, "grid:8", 0, (0, 0, 8, 8), "model", 1.0)


def vote(chosen=0, annotator="person:ada"):
    return Judgement(QUESTION, chosen, annotator, 1.0)


def one_line(error):
    text = str(error.value)
    assert "\n" not in text and not text.endswith(".")
    return text


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "preferences.sqlite"


@pytest.fixture
def store(path):
    with JudgementStore(path, wait=0.5) as store:
        store.open_questions([QUESTION])
        store.add(vote())
        yield store


@pytest.mark.parametrize("gone", ["", "-wal", "-shm"])
@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_file_that_is_gone_acknowledges_nothing(path, store, gone, how):
    file = path.with_name(path.name + gone)
    content = file.read_bytes()
    file.unlink()
    if how == "replaced":
        (path.parent / "other").write_bytes(content)
        (path.parent / "other").rename(file)
    for act in (lambda: store.add(vote(1)), store.history, lambda: store.open_questions([QUESTION])):
        with pytest.raises(DataError, match="was deleted, moved or replaced while the store was open") as error:
            act()
        assert one_line(error).startswith(str(file))


def test_a_file_that_is_put_back_goes_on(path, store):
    path.rename(path.parent / "aside")
    with pytest.raises(DataError, match="was deleted, moved or replaced"):
        store.add(vote(1))
    (path.parent / "aside").rename(path)
    assert store.add(vote(1))


def test_a_file_that_goes_while_it_is_written(path, store):
    with pytest.raises(DataError, match="was deleted"), store.file.transaction() as connection:
        connection.execute("INSERT INTO questions (id, content, priority) VALUES ('i', '{}', 1)")
        path.unlink()


def test_readers_do_not_wait_for_writers(path, store):
    """Neither for those of other programs, nor for one of this process that waits for them."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    def wait():
        with pytest.raises(DataError):
            store.add(vote(1))

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.1)
    start = time.monotonic()
    assert len(store.history()) == 1
    assert time.monotonic() - start < 0.3
    waiting.join()
    with pytest.raises(DataError, match=r"is held by another program, for more than 0\.5 s") as error:
        store.add(vote(1))
    one_line(error)
    other.execute("ROLLBACK")
    assert store.add(vote(1))
    other.close()


def test_a_program_that_holds_the_file_is_waited_for_so_long_and_no_longer(path, store):
    store.close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    start = time.monotonic()
    with pytest.raises(DataError, match="is held by another program") as error:
        JudgementStore(path, wait=0.5)
    one_line(error)
    assert 0.4 < time.monotonic() - start < 2
    other.close()
    with JudgementStore(path, wait=0.5) as again:
        assert len(again.history()) == 1


def test_many_threads_give_up_together(path, store):
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    start = time.monotonic()

    def attempt(chosen):
        with pytest.raises(DataError, match="is held by another program"):
            store.add(vote(chosen % 2))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(attempt, range(8)))
    assert time.monotonic() - start < 2, "they waited one after the other"
    other.close()


@pytest.mark.parametrize("state", ["closed", "killed"])
def test_on_a_read_only_disk_it_can_be_read(path, read_only, state):
    with JudgementStore(path) as store:
        store.open_questions([QUESTION])
        store.add(vote(1))
        store.clicks.save("/d/a.png", {(1, 2): 1}, 0, "person:ada", "u")
        if state == "killed":  # what was written is in the log alone
            folder = read_only(path, f"{path}-wal")
    if state == "closed":
        folder = read_only(path)
    with JudgementStore(folder / path.name) as store:
        assert [judgement.chosen for judgement in store.judgements()] == [1]
        assert store.clicks.of("/d/a.png").pixels == {(1, 2): 1}
        assert len(store.clicks.history()) == 1
        for act in (lambda: store.add(vote()), lambda: store.clicks.save("/d/b.png", {(1, 2): 1}, 0, "person:a", "v")):
            with pytest.raises(StorageError, match="read-only disk or in a read-only folder") as error:
                act()
            one_line(error)
    with pytest.raises(StorageError, match="read-only") as error:
        JudgementStore(folder / "new.sqlite")
    assert "no such store" not in one_line(error)


def test_a_full_disk_acknowledges_nothing(store):
    pages = store.file._writer.execute("PRAGMA page_count").fetchone()[0]
    store.file._writer.execute(f"PRAGMA max_page_count = {pages}")
    many = [replace(QUESTION, region_index=i) for i in range(1, 200)]
    with pytest.raises(StorageError, match=r"cannot be written .*full") as error:
        store.open_questions(many)
    one_line(error)
    with pytest.raises(StorageError):
        store.clicks.save("/d/a.png", {(x, y): 1 for x in range(40) for y in range(40)}, 0, "person:ada", "u")
    assert len(store.questions()) == 1 and store.clicks.history() == []
    store.file._writer.execute("PRAGMA max_page_count = 100000")
    assert store.open_questions(many) == 199


def test_a_limit_on_the_size_of_files(path, store):
    """The disk's own refusal, in a process of its own: a write that fails, not a check of SQLite's."""
    code = """
import resource, sys
from bundle.errors import StorageError
from bundle.preferences.store.judgement_store import JudgementStore
from tests.preferences.store.test_sqlite_file import vote
with JudgementStore(sys.argv[1]) as store:
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
    added = 0
    try:
        while added < 1000:
            added += store.add(vote(added % 2))
    except StorageError as error:
        assert "\\n" not in str(error)
    print(added)
"""
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    added = int(done.stdout)
    assert 0 < added < 1000 and len(store.history()) == 1 + added


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_told_at_once(path, kind):
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    for create in (True, False):
        with pytest.raises(DataError, match=f"is a {kind} and no store of judgements") as error:
            JudgementStore(path, create)
        one_line(error)


@pytest.mark.parametrize("damage", ["cut", "overwritten", "emptied"])
def test_a_damaged_file_is_told_at_once(path, damage):
    with JudgementStore(path) as store:
        store.open_questions([replace(QUESTION, region_index=i) for i in range(200)])
    size = path.stat().st_size
    with path.open("r+b") as file:
        if damage == "cut":
            file.truncate(size // 2)
        elif damage == "overwritten":
            file.seek(4096)
            file.write(os.urandom(size - 8192))
        else:
            file.truncate(0)
            path.with_name(f"{path.name}-wal").write_bytes(b"x" * 5000)
    with pytest.raises(DataError, match=r"is damaged|is no store|is gone or empty") as error:
        JudgementStore(path)
    one_line(error)


def test_a_store_whose_log_was_left_behind_is_not_made_anew(path):
    with JudgementStore(path) as store:
        store.open_questions([QUESTION])
        shutil.copy(f"{path}-wal", path.parent / "log")
    path.unlink()
    (path.parent / "log").rename(f"{path}-wal")
    before = Path(f"{path}-wal").read_bytes()
    with pytest.raises(DataError, match="-wal beside it holds records"):
        JudgementStore(path)
    assert Path(f"{path}-wal").read_bytes() == before


def test_records_that_were_spoiled_are_passed_over(path, store, caplog):
    good = store.history()
    raw = sqlite3.connect(path)
    with raw:
        bad = ("no JSON", "{}", "[1]", json.dumps({**QUESTION.fields, "region_split": "x"}), "9")
        for number, content in enumerate(bad):
            raw.execute("INSERT INTO questions (id, content, priority) VALUES (?, ?, 9)", (f"bad {number}", content))
        other = (
            "INSERT INTO judgements (uid, question, chosen, annotator, seconds, created_at) "
            "VALUES (?, ?, ?, ?, 1, '2024-02-29T00:00:00+00:00')"
        )
        raw.execute(other, ("a", QUESTION.id, 7, "person:bob"))
        raw.execute(other, ("b", QUESTION.id, 0, "nobody"))
        raw.execute(other, ("c", "bad 1", 0, "person:bob"))
        raw.execute(other.replace("?, ?, 1", "?, CAST(x'ff0a' AS TEXT), 1"), ("d", QUESTION.id, 0))
    raw.close()
    for _ in range(3):
        assert [question.id for question in store.questions()] == [QUESTION.id]
        assert store.history() == store.judgements(kind="person") == good
        assert [question.id for question in store.unanswered("person:zoe")] == [QUESTION.id]
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2 and "5 questions are malformed and passed over, the first: " in lines[0]


def test_blobs_in_the_place_of_texts_are_passed_over(path, store, tmp_path, caplog):
    good = store.history()
    raw = sqlite3.connect(path)
    with raw:
        raw.execute(
            "INSERT INTO judgements (uid, question, chosen, annotator, seconds, created_at) "
            "VALUES ('a', ?, 0, 'person:bob', 1, x'00')",
            (QUESTION.id,),
        )
        raw.execute(
            "INSERT INTO clicks (uid, image, x, y, label, action, annotator, created_at) "
            "VALUES ('b', '/d/a.png', 1, 1, 1, 'add', x'ff', '2024-02-29T00:00:00+00:00')"
        )
    raw.close()
    assert store.history() == store.judgements() == good and store.clicks.history() == []
    store.export_jsonl(tmp_path / "a.jsonl")
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == len(good)
    assert "1 clicks are malformed and passed over, the first: annotator is b'\\xff'" in caplog.text


def test_a_file_whose_tables_have_names_that_are_no_text(path, store):
    store.close()
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA writable_schema = ON")
    with raw:
        raw.execute("UPDATE sqlite_master SET name = CAST(x'cece' AS TEXT), sql = 'x' WHERE name = 'about'")
    raw.close()
    with pytest.raises(DataError, match=r"preferences\.sqlite: is no store of judgements") as error:
        JudgementStore(path, create=False)
    one_line(error)


@pytest.mark.parametrize("split", ["nonsense", "grid:0", "grid:99999999999", "components:" + "9" * 40, "", 3])
def test_regions_that_cannot_be_are_refused_at_import(path, store, tmp_path, split):
    store.export_jsonl(tmp_path / "a.jsonl")
    record = json.loads((tmp_path / "a.jsonl").read_text())
    (tmp_path / "a.jsonl").write_text(json.dumps({**record, "region_split": split, "uid": "other"}))
    with pytest.raises(DataError, match=r"a\.jsonl: line 1: region_split is .*expected image, grid:SIZE"):
        store.import_jsonl(tmp_path / "a.jsonl")
    with pytest.raises(DataError, match="region_split is"):
        store.open_questions([replace(QUESTION, region_split=split)])


@pytest.mark.parametrize("field", ["image", "candidates_file"])
@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_paths_that_no_file_can_have_are_refused(store, field, value):
    with pytest.raises(DataError, match=f"{field} is .*, expected the path of a file"):
        store.open_questions([replace(QUESTION, **{field: value})])


@pytest.mark.parametrize("name", ["a#b.sqlite", "a?mode=memory.sqlite", "50%20.sqlite", "ü &+.sqlite"])
def test_names_that_mean_something_in_addresses(tmp_path, name):
    with JudgementStore(tmp_path / name) as store:
        store.open_questions([QUESTION])
    assert (tmp_path / name).stat().st_size > 0
    with JudgementStore(tmp_path / name, create=False) as store:
        assert len(store.questions()) == 1


def test_the_name_of_a_new_file_is_put_on_the_disk(path, monkeypatch):
    synced = []
    real = os.fsync

    def fsync(descriptor):
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    JudgementStore(path).close()
    assert str(path.parent) in synced and str(path.parent.parent) in synced
    synced.clear()
    JudgementStore(path).close()
    assert synced == []
