import json
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bundle.errors import DataError
from bundle.preferences.candidates.files import CandidateSet
from bundle.preferences.store.judgement_store import Candidate, Judgement, JudgementStore, Question, check_fresh

ROOT = Path(__file__).parents[3]
MASKS = np.random.default_rng(0).random((3, 6, 4)) < 0.5
CANDIDATES = CandidateSet(
    "images/a.png", "image hash", MASKS, ["teacher", "student", "evolved"], np.zeros((6, 4), np.float32), "model hash"
)

# Opens the store, and a question if it is the first; then adds records without end, or as many as asked, and says so.
WRITER = """
import sys
from bundle.preferences.store.judgement_store import Candidate, Judgement, JudgementStore, Question
path, annotator, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
candidates = (Candidate("teacher", "0"), Candidate("student", "1"))
question = Question("a.png", "hash", "a.npz", candidates, "image", 0, (0, 0, 9, 9), "model", 1.0)
with JudgementStore(path) as store:
    store.open_questions([question])
    while count:
        judgement = Judgement(question, count % 2, annotator, 0.5)
        assert store.add(judgement)
        print(judgement.uid, flush=True)
        count -= 1
"""


def question(index: int = 0, priority: float = 1.0, image: str = "images/a.png") -> Question:
    candidates = tuple(map(Candidate, CANDIDATES.made, CANDIDATES.sha256))
    return Question(
        image, "image hash", "candidates/a.npz", candidates, "grid:2", index, (0, 0, 2, 2), "model hash", priority
    )


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "preferences.sqlite"


@pytest.fixture
def store(path) -> Iterator[JudgementStore]:
    """Four questions, of which number 2 has the highest priority."""
    with JudgementStore(path) as store:
        store.open_questions(question(i, priority) for i, priority in enumerate((0.5, 0.5, 2, -1)))
        yield store


def start_writer(path: Path, annotator: str, count: int) -> subprocess.Popen:
    command = [sys.executable, "-c", WRITER, str(path), annotator, str(count)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_round_trip(path, store):
    given = [
        Judgement(question(0), 2, "person:Ada Lovelace", 1.5),
        Judgement(question(1), "tie", "oracle:noise=0.2", 3),
        Judgement(question(2), "skip", "evolution:chan-vese", 0.0, "2024-02-29T23:59:59.125000+00:00", "uid 1"),
    ]
    assert [store.add(judgement) for judgement in given] == [True] * 3
    store.close()
    with JudgementStore(path, create=False) as again:
        found = again.judgements()
        assert [replace(f, question=g.question) for f, g in zip(found, given, strict=True)] == given
        assert [f.question for f in found] == [question(0, 0.5), question(1, 0.5), question(2, 2)]
        assert type(found[0].chosen) is int


def test_ids_cover_all_but_the_priority():
    one = question()
    assert one.id == question(priority=7).id
    changes = {
        "image": "b",
        "image_sha256": "b",
        "candidates_file": "b",
        "candidates": one.candidates[:2],
        "region_split": "image",
        "region_index": 1,
        "box": (0, 0, 2, 3),
        "model": "b",
    }
    assert len({one.id, *(replace(one, **{name: value}).id for name, value in changes.items())}) == 1 + len(changes)


def test_opening_again_is_harmless(store):
    assert store.open_questions([question(2, priority=-5), question(4), question(4)]) == 1
    assert [(q.region_index, q.priority) for q in store.questions()] == [(2, 2), (4, 1), (0, 0.5), (1, 0.5), (3, -1)]


def test_unanswered(store):
    ada, bob = "person:ada", "person:bob"
    store.add_many([Judgement(question(2), 0, ada, 1), Judgement(question(0), "skip", ada, 1)])
    assert [q.region_index for q in store.unanswered(ada)] == [1, 3]
    assert [q.region_index for q in store.unanswered(bob)] == [2, 0, 1, 3]
    store.add(Judgement(question(2), "undo", ada, 1))
    assert [q.region_index for q in store.unanswered(ada)] == [2, 1, 3]
    store.add(Judgement(question(2), 1, ada, 1))
    assert [q.region_index for q in store.unanswered(ada)] == [1, 3]
    with pytest.raises(DataError, match="person:ada"):
        store.unanswered("ada")


def test_last_judgement_counts_and_undo_withdraws_it(store):
    given = [(0, "person:ada", 1), (1, "person:ada", 2), (0, "person:bob", 0), (0, "person:ada", "tie")]
    for index, annotator, chosen in [*given, (1, "person:ada", "undo"), (3, "oracle:noise=0", 2)]:
        store.add(Judgement(question(index), chosen, annotator, 1))

    def found(**filters):
        return [(j.question.region_index, j.annotator, j.chosen) for j in store.judgements(**filters)]

    assert found() == [(0, "person:bob", 0), (0, "person:ada", "tie"), (3, "oracle:noise=0", 2)]
    assert found(annotator="person:ada") == [(0, "person:ada", "tie")]
    assert found(kind="oracle") == [(3, "oracle:noise=0", 2)]
    assert found(kind="oracle", annotator="person:ada") == []
    assert len(store.history()) == 6
    store.add(Judgement(question(1), 0, "person:ada", 1))
    assert found()[-1] == (1, "person:ada", 0)
    with pytest.raises(ValueError, match="person, oracle, evolution"):
        store.judgements(kind="people")


def test_sending_again_writes_once(store):
    judgement = Judgement(question(), 1, "person:ada", 2.5)
    assert store.add(judgement)
    assert not store.add(judgement)
    assert not store.add(replace(judgement, created_at="2024-02-29T00:00:00+00:00")), "stamped anew by a second attempt"
    assert store.add_many([judgement, replace(judgement, uid="other"), replace(judgement, uid="other")]) == 1
    for change in ({"chosen": 0}, {"annotator": "person:bob"}, {"seconds": 2.0}, {"question": question(1)}):
        with pytest.raises(DataError, match="belongs to another judgement"):
            store.add(replace(judgement, **change))
    assert [j.uid for j in store.history()] == [judgement.uid, "other"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chosen": 3}, "from 0 to 2"),
        ({"chosen": -1}, "from 0 to 2"),
        ({"chosen": True}, "chosen is True"),
        ({"chosen": "1"}, "chosen is '1'"),
        ({"chosen": None}, "chosen is None"),
        ({"chosen": np.int64(1)}, "Python int"),
        ({"annotator": "ada"}, "person:ada"),
        ({"annotator": "robot:ada"}, "person, oracle, evolution"),
        ({"annotator": "person: "}, "annotator"),
        ({"annotator": "person:a\nb"}, "annotator"),
        ({"annotator": None}, "annotator"),
        ({"seconds": -0.1}, "seconds"),
        ({"seconds": float("nan")}, "seconds"),
        ({"seconds": float("inf")}, "seconds"),
        ({"seconds": 10**400}, "seconds"),
        ({"seconds": "1"}, "seconds"),
        ({"created_at": "2024-02-30T00:00:00+00:00"}, "created_at"),
        ({"created_at": "2024-02-29T00:00:00"}, "created_at"),
        ({"created_at": "2024-02-29T00:00:00+02:00"}, "created_at"),
        ({"uid": ""}, "uid"),
        ({"question": question(9)}, "not opened"),
        ({"question": replace(question(), box=(0, 0, 0, 2))}, "box"),
    ],
)
def test_refuses_judgements(store, change, message):
    fine = Judgement(question(), 1, "person:ada", 2.5)
    with pytest.raises(DataError, match=message) as error:
        store.add_many([fine, replace(fine, **{"uid": "second"} | change)])
    assert "\n" not in str(error.value)
    assert store.history() == [], "all or none"


def test_only_what_was_shown_can_be_chosen(store):
    asked = replace(question(9), shown=(0, 2))
    assert asked.id != question(9).id and asked.seen != question(9).seen
    store.open_questions([asked])
    assert store.question(asked.id) == asked
    for chosen in (0, 2, "none", "tie"):
        store.add(Judgement(asked, chosen, "person:ada", 1.0))
    with pytest.raises(DataError, match=r"chosen is 1, expected .* \(a Python int, 0, 2\), none"):
        store.add(Judgement(asked, 1, "person:ada", 1.0))


def test_one_question_by_its_id(store):
    assert store.question(question(2).id) == next(q for q in store.questions() if q.region_index == 2)
    with pytest.raises(KeyError):
        store.question(question(7).id)


@pytest.mark.parametrize(
    "change",
    [
        {"image": ""},
        {"image_sha256": None},
        {"candidates": (Candidate("teacher", "0"),)},
        {"candidates": [Candidate("teacher", "0"), Candidate("student", "1")]},
        {"candidates": (Candidate("teacher", "0"), Candidate("student", ""))},
        {"region_index": -1},
        {"region_index": np.int64(1)},
        {"box": [0, 0, 1, 1]},
        {"box": (0, 0, 1)},
        {"box": (-1, 0, 1, 1)},
        {"box": (0, 2, 1, 2)},
        {"priority": float("nan")},
        {"shown": (1,)},
        {"shown": (1, 0)},
        {"shown": (1, 1)},
        {"shown": (1, 3)},
        {"shown": [0, 1]},
        {"shown": (0, True)},
    ],
)
def test_refuses_questions(path, change):
    with JudgementStore(path) as store:
        with pytest.raises(DataError, match=r" is .*, expected "):
            store.open_questions([question(), replace(question(1), **change)])
        assert store.questions() == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE judgements SET chosen = 0",
        "DELETE FROM judgements",
        "UPDATE questions SET priority = 9",
        "DELETE FROM questions",
        "REPLACE INTO judgements SELECT number, uid, question, 0, annotator, seconds, created_at FROM judgements",
        "REPLACE INTO judgements SELECT number, 'u', question, 0, annotator, seconds, created_at FROM judgements",
        "REPLACE INTO judgements SELECT 9, uid, question, 0, annotator, seconds, created_at FROM judgements",
        "INSERT INTO judgements SELECT 9, uid, question, 0, annotator, seconds, created_at FROM judgements WHERE true "
        "ON CONFLICT DO UPDATE SET chosen = 0",
        "REPLACE INTO questions SELECT id, '{}', 9, opened_at FROM questions",
        "REPLACE INTO questions (rowid, id, content, priority) SELECT rowid, 'i', '{}', 9 FROM questions",
    ],
)
def test_other_programs_cannot_change_or_delete(path, store, statement):
    store.add(Judgement(question(), 1, "person:ada", 2.5))
    before = store.history(), store.questions()
    other = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="only ever added"):
        other.execute(statement)
    other.commit()
    other.close()
    assert (store.history(), store.questions()) == before


def test_commits_are_flushed(store):
    def pragma(name):
        return store.file._writer.execute(f"PRAGMA {name}").fetchone()[0]

    assert pragma("journal_mode") == "wal"
    assert pragma("synchronous") == 2, "FULL"


def test_refuses_files_that_are_no_store(tmp_path, path):
    with pytest.raises(DataError, match="no such store"):
        JudgementStore(path, create=False)
    assert not path.exists()
    with pytest.raises(DataError, match="folder that exists"):
        JudgementStore(tmp_path / "none" / "preferences.sqlite")
    path.write_text("some other text, " * 100)
    foreign = tmp_path / "foreign.sqlite"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE questions (id, content, priority)")
    connection.close()
    empty = tmp_path / "empty.sqlite"
    empty.touch()
    for file, create in ((path, True), (foreign, True), (empty, False)):
        before = file.read_bytes()
        with pytest.raises(DataError, match="is no store of judgements") as error:
            JudgementStore(file, create)
        assert str(error.value).startswith(str(file))
        assert "\n" not in str(error.value)
        assert file.read_bytes() == before
    JudgementStore(empty).close()


def test_closing_twice_and_using_after(store):
    store.close()
    store.close()
    with pytest.raises(DataError, match="closed"):
        store.history()
    with pytest.raises(DataError, match="closed"):
        store.add(Judgement(question(), 1, "person:ada", 2.5))


def test_export_has_the_fields_of_the_record(tmp_path, store):
    given = [Judgement(question(2), 1, "person:ada", 2.5), Judgement(question(2), "tie", "oracle:noise=0", 3)]
    store.add_many(given)
    store.export_jsonl(tmp_path / "a.jsonl")
    first, second = map(json.loads, (tmp_path / "a.jsonl").read_text().splitlines())
    assert first == {
        "image": "images/a.png",
        "image_sha256": "image hash",
        "candidates_file": "candidates/a.npz",
        "candidates": [
            {"id": i, "made": made, "sha256": CANDIDATES.sha256[i]} for i, made in enumerate(CANDIDATES.made)
        ],
        "region_split": "grid:2",
        "region_index": 2,
        "box": [0, 0, 2, 2],
        "model": "model hash",
        "priority": 2,
        "chosen": 1,
        "annotator": "person:ada",
        "seconds": 2.5,
        "created_at": given[0].created_at,
        "uid": given[0].uid,
    }
    assert second["chosen"] == "tie"
    assert {file.name for file in tmp_path.iterdir() if "sqlite" not in file.name} == {"a.jsonl"}


def test_import_gives_the_same_judgements(tmp_path, store):
    draw = random.Random(0)
    for _ in range(60):
        chosen = draw.choice([0, 1, 2, "tie", "skip", "undo", "undo"])
        store.add(Judgement(question(draw.randrange(4)), chosen, f"person:{draw.choice('abc')}", draw.random()))
    store.export_jsonl(tmp_path / "a.jsonl")
    with JudgementStore(tmp_path / "other.sqlite") as other:
        other.open_questions([question(9)])
        assert other.import_jsonl(tmp_path / "a.jsonl") == 60
        assert other.import_jsonl(tmp_path / "a.jsonl") == 0
        assert other.history() == store.history()
        assert other.judgements() == store.judgements()
        assert 0 < len(other.judgements()) < 12
        other.export_jsonl(tmp_path / "b.jsonl")
        assert {q.region_index for q in other.questions()} == {0, 1, 2, 3, 9}
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "expected a JSON object"),
        ({"uid": ...}, "missing: uid, unknown: none"),
        ({"comment": "none"}, "missing: none, unknown: comment"),
        ({"winner": 1}, "missing: none, unknown: winner"),
        ({"chosen": 3}, "chosen"),
        ({"seconds": float("nan")}, "no JSON"),
        ({"box": "0022"}, "box"),
        ({"candidates": {"id": 0}}, "candidates"),
        ({"candidates": [{"id": 1, "made": "a", "sha256": "b"}, {"id": 0, "made": "a", "sha256": "b"}]}, "candidates"),
        ({"uid": "first", "chosen": 2}, "belongs to another"),
    ],
)
def test_import_of_a_malformed_line_imports_nothing(tmp_path, store, change, message):
    file = tmp_path / "a.jsonl"
    store.add_many(Judgement(question(i), 1, "person:ada", 1, uid=uid) for i, uid in enumerate(("first", "second")))
    store.export_jsonl(file)
    first, second = file.read_text().splitlines()
    if isinstance(change, dict):
        record = json.loads(second) | change
        change = json.dumps({name: value for name, value in record.items() if value is not ...})
    file.write_text(f"{first}\n\n{change}\n")
    with JudgementStore(tmp_path / "other.sqlite") as other:
        with pytest.raises(DataError, match=message) as error:
            other.import_jsonl(file)
        assert str(error.value).startswith(f"{file}: line 3: ")
        assert other.history() == other.questions() == []


def test_import_of_what_is_no_text(tmp_path, store):
    (tmp_path / "a.jsonl").write_bytes(b"\xff\xfe")
    for name in ("a.jsonl", "b.jsonl"):
        with pytest.raises(DataError, match=name):
            store.import_jsonl(tmp_path / name)


def test_what_changed_since_is_refused():
    asked = question()
    check_fresh(asked, CANDIDATES, "image hash")
    with pytest.raises(DataError, match=r"image images/a\.png changed since it was judged.* again"):
        check_fresh(asked, CANDIDATES, "other hash")
    with pytest.raises(DataError, match="made of another image"):
        check_fresh(asked, replace(CANDIDATES, image_sha256="other hash"), "image hash")
    masks = MASKS.copy()
    masks[1, 5, 3] ^= True
    with pytest.raises(DataError, match=r"a\.npz: candidate 1 of image images/a\.png changed since it was judged"):
        check_fresh(asked, replace(CANDIDATES, masks=masks), "image hash")
    with pytest.raises(DataError, match="candidate 0"):
        check_fresh(asked, replace(CANDIDATES, masks=MASKS[::-1]), "image hash")
    with pytest.raises(DataError, match=r"2 candidates .* of which 3"):
        check_fresh(asked, replace(CANDIDATES, masks=MASKS[:2]), "image hash")


def test_threads_share_a_store(store):
    judgements = [Judgement(question(i % 4), i % 3, f"person:{i % 7}", i) for i in range(80)]

    def work(judgement):
        return store.add(judgement), len(store.judgements()), store.open_questions([question(9)])

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(work, judgements * 2))
    assert sum(added for added, _, _ in done) == 80
    assert sum(opened for _, _, opened in done) == 1
    assert {j.uid for j in store.history()} == {j.uid for j in judgements}


def test_processes_write_at_once(path):
    """They also make the file at once: whoever comes first."""
    writers = [start_writer(path, f"person:{i}", 25) for i in range(4)]
    acknowledged = [uid for writer in writers for uid in writer.communicate(timeout=120)[0].split()]
    assert [writer.returncode for writer in writers] == [0] * 4
    with JudgementStore(path, create=False) as store:
        history = store.history()
        assert len(store.questions()) == 1
    assert Counter(j.uid for j in history) == Counter(acknowledged)
    assert Counter(j.annotator for j in history) == {f"person:{i}": 25 for i in range(4)}


def test_a_new_file_that_another_process_sets_up_is_waited_for(path):
    """As when two make it at once: SQLite refuses to change the journal's mode while the other one writes."""
    JudgementStore(path).close()
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    assert other.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.3, other.rollback)
    release.start()
    JudgementStore(path).close()
    release.join()
    other.close()
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    raw.close()


def test_loads_no_torch():
    code = f"import {JudgementStore.__module__}, sys; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.slow
def test_what_was_acknowledged_survives_killed_writers(path):
    draw = random.Random(0)
    acknowledged: list[str] = []
    cut_short = 0
    for i in range(50):
        writer = start_writer(path, "person:ada", -1)
        assert writer.stdout is not None
        # a fifth of them is killed at any time from its start, the others while they write
        first = writer.stdout.readline() if i % 5 else ""
        time.sleep(draw.uniform(0, 0.4 if i % 5 == 0 else 0.1))
        writer.send_signal(signal.SIGKILL)
        # not by communicate(), which passes over what readline() has read ahead
        lines = [first, *writer.stdout.read().splitlines(keepends=True)]
        writer.stdout.close()
        assert writer.wait(timeout=60) == -signal.SIGKILL
        acknowledged += [line.strip() for line in lines if line.endswith("\n")]
        cut_short += path.with_name(path.name + "-wal").exists()
    assert len(acknowledged) >= 40
    assert cut_short >= 40, "the file was left as a killed process leaves it"
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    raw.close()
    with JudgementStore(path, create=False) as store:
        found = Counter(judgement.uid for judgement in store.history())
    assert set(found.values()) == {1}
    assert set(acknowledged) <= set(found)
    # a record may be in the store when its writer was killed before it could say so, at most one for each
    assert len(found) <= len(acknowledged) + 50
