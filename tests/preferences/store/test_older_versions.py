"""Stores and JSON Lines as older versions wrote them."""

import json
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bundle.errors import DataError, StorageError
from bundle.preferences.store.judgement_store import Candidate, Judgement, JudgementStore, Question

ROOT = Path(__file__).parents[3]
CANDIDATES = (Candidate("teacher", "0"), Candidate("student", "1"))
QUESTIONS = [
    Question("/d/ä.png", "hash", "/c/a.npz", CANDIDATES, "grid:8", i, (8 * i, 0, 8 * i + 8, 8), "model", 1.5 - i)
    for i in range(2)
]

# What version 2 wrote of these questions: ids, hashes of what is seen, and contents.
IDS = [
    "47d259e6ac742320f94d6b1735d227230b443b4e305d4efc39c6e7ab39624ae1",
    "8aba3a92d9eec21670b852ab0dabf97dc3c76b6e811139d84b0abdf81b7569c4",
]
SEEN = [
    "18e09135908838b513eb991b119936a6fecb7a8b39c444c32d2d1cee6759440b",
    "5bec65643f1c7c5e53c74295099be7836d8a6f6751b4fcfebbbe296b58f31b1b",
]
CONTENT = (
    '{"candidates":[{"id":0,"made":"teacher","sha256":"0"},{"id":1,"made":"student","sha256":"1"}],'
    '"candidates_file":"/c/a.npz","image":"/d/\\u00e4.png","image_sha256":"hash","index":%d,"model":"model",'
    '"region":[%d,0,%d,8],"regions":"grid:8"}'
)
CONTENTS = [CONTENT % (0, 0, 8), CONTENT % (1, 8, 16)]
JUDGEMENTS = [
    (0, 1, "person:ada", 2.0, "2024-02-29T00:00:00+00:00", "u0"),
    (1, "tie", "person:ada", 1.0, "2024-02-29T00:00:01+00:00", "u1"),
    (0, "undo", "person:ada", 0.0, "2024-02-29T00:00:02+00:00", "u2"),
    (0, 0, "person:bob", 3.0, "2024-02-29T00:00:03+00:00", "u3"),
]
HISTORY = [Judgement(QUESTIONS[index], *rest) for index, *rest in JUDGEMENTS]

REFUSE = "BEGIN SELECT RAISE(ABORT, 'records are only ever added'); END"


def triggers(table: str, same: str) -> str:
    return (
        f"CREATE TRIGGER {table}_UPDATE BEFORE UPDATE ON {table} {REFUSE};"
        f"CREATE TRIGGER {table}_DELETE BEFORE DELETE ON {table} {REFUSE};"
        f"CREATE TRIGGER {table}_REPLACE BEFORE INSERT ON {table} "
        f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same} OR rowid = NEW.rowid) {REFUSE};"
    )


VERSION_1 = f"""
CREATE TABLE questions (
        id TEXT PRIMARY KEY NOT NULL, content TEXT NOT NULL, priority REAL NOT NULL,
        opened_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')));
CREATE TABLE judgements (
        number INTEGER PRIMARY KEY, uid TEXT UNIQUE NOT NULL, question TEXT NOT NULL REFERENCES questions (id),
        answer NOT NULL, annotator TEXT NOT NULL, seconds REAL NOT NULL, created_at TEXT NOT NULL);
CREATE INDEX answers ON judgements (question, annotator, number);
{triggers("questions", "id = NEW.id")}
{triggers("judgements", "uid = NEW.uid")}
PRAGMA application_id = 1346652755;
PRAGMA user_version = 1;
PRAGMA journal_mode = WAL;
"""
VERSION_2 = f"""{VERSION_1}
CREATE TABLE clicks (
        number INTEGER PRIMARY KEY, uid TEXT NOT NULL CHECK (uid <> ''),
        image TEXT NOT NULL CHECK (typeof(image) = 'text' AND image <> ''),
        x INTEGER NOT NULL CHECK (typeof(x) = 'integer' AND x BETWEEN 0 AND 1048575),
        y INTEGER NOT NULL CHECK (typeof(y) = 'integer' AND y BETWEEN 0 AND 1048575),
        label INTEGER NOT NULL CHECK (label IN (0, 1)),
        action TEXT NOT NULL CHECK (action IN ('add', 'remove')),
        annotator TEXT NOT NULL, created_at TEXT NOT NULL,
        UNIQUE (uid, image, x, y));
CREATE INDEX pixels ON clicks (image, x, y, number);
CREATE TABLE about (name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL);
{triggers("clicks", "(uid = NEW.uid AND image = NEW.image AND x = NEW.x AND y = NEW.y)")}
{triggers("about", "name = NEW.name")}
INSERT INTO about VALUES ('id', 'the id of this store');
INSERT INTO clicks (uid, image, x, y, label, action, annotator, created_at)
VALUES ('c0', '/d/ä.png', 1, 2, 1, 'add', 'person:ada', '2024-02-29T00:00:00+00:00');
PRAGMA user_version = 2;
"""


def write_old(path: Path, version: int) -> Path:
    raw = sqlite3.connect(path)
    raw.executescript(VERSION_1 if version == 1 else VERSION_2)
    with raw:
        for question, identity, content in zip(QUESTIONS, IDS, CONTENTS, strict=True):
            raw.execute(
                "INSERT INTO questions (id, content, priority) VALUES (?, ?, ?)", (identity, content, question.priority)
            )
        for index, *rest in JUDGEMENTS:
            raw.execute(
                "INSERT INTO judgements (question, answer, annotator, seconds, created_at, uid) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (IDS[index], *rest),
            )
    raw.close()
    return path


def everything(path: Path) -> tuple[list, list, list, list]:
    """Version, schema, questions and judgements, as another program sees them."""
    raw = sqlite3.connect(path)
    found = tuple(
        raw.execute(query).fetchall()
        for query in (
            "PRAGMA user_version",
            "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name",
            "SELECT * FROM questions ORDER BY rowid",
            "SELECT * FROM judgements ORDER BY number",
        )
    )
    raw.close()
    return found


def one_line(error) -> str:
    text = str(error.value)
    assert "\n" not in text and not text.endswith(".")
    return text


@pytest.fixture(params=[1, 2])
def old(request, tmp_path) -> Path:
    return write_old(tmp_path / "old.sqlite", request.param)


def test_ids_are_those_of_older_versions():
    assert [question.id for question in QUESTIONS] == IDS
    assert [question.seen for question in QUESTIONS] == SEEN


def test_an_old_store_says_the_same_when_it_is_opened_and_again(old):
    for _ in range(2):
        with JudgementStore(old, create=False) as store:
            assert store.history() == HISTORY
            assert store.judgements() == [HISTORY[1], HISTORY[3]]
            assert store.questions() == QUESTIONS and [question.id for question in store.questions()] == IDS
            assert store.question(IDS[1]) == QUESTIONS[1]
            assert [question.id for question in store.unanswered("person:ada")] == [IDS[0]]
    with JudgementStore(old) as store:
        assert store.open_questions(QUESTIONS) == 0, "the same question is known by its id"
        assert not store.add(HISTORY[0]), "a judgement that is sent again is known by its uid"
        assert store.add(Judgement(QUESTIONS[0], 1, "person:ada", 1.0))


def test_it_is_as_a_new_store_then(old, tmp_path):
    JudgementStore(old).close()
    JudgementStore(tmp_path / "new.sqlite").close()
    (version, schema, *_), (new_version, new_schema, *_) = everything(old), everything(tmp_path / "new.sqlite")
    assert version == new_version == [(4,)] and schema == new_schema
    names = {name for _, content, *_ in everything(old)[2] for name in json.loads(content)}
    assert {"region_split", "region_index", "box"} < names and not names & {"regions", "index", "region"}


def test_version_3_has_these_tables_and_no_judgement_none(tmp_path):
    path = tmp_path / "3.sqlite"
    with JudgementStore(path) as store:
        store.open_questions(QUESTIONS)
        store.add_many(HISTORY)
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA user_version = 3")
    raw.close()
    before = everything(path)
    with JudgementStore(path) as store:
        assert store.history() == HISTORY
        assert store.add(Judgement(QUESTIONS[1], "none", "person:ada", 1.0))
        assert [judgement.chosen for judgement in store.judgements(annotator="person:ada")] == ["none"]
    after = everything(path)
    assert (before[0], after[0]) == ([(3,)], [(4,)]) and before[1:3] == after[1:3]


@pytest.mark.parametrize("table", ["questions", "judgements", "clicks", "about"])
def test_it_is_only_ever_added_to_then(old, table):
    with JudgementStore(old) as store:
        store.clicks.save("/d/b.png", {(1, 2): 1}, 0, "person:ada", "x")
    raw = sqlite3.connect(old)
    for statement in (
        f"DELETE FROM {table}",
        f"UPDATE {table} SET rowid = 99",
        f"REPLACE INTO {table} SELECT * FROM {table}",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="only ever added"):
            raw.execute(statement)
    raw.close()


@pytest.mark.parametrize("version", [1, 2])
def test_clicks_and_the_name_of_the_store_stay(tmp_path, version):
    path = write_old(tmp_path / "old.sqlite", version)
    with JudgementStore(path) as store:
        known, clicks = store.clicks.id, store.clicks.of("/d/ä.png")
    if version == 2:
        assert known == "the id of this store" and clicks == ({(1, 2): 1}, 1)
    else:
        assert known and clicks == ({}, 0)
    with JudgementStore(path, create=False) as store:
        assert store.clicks.id == known


def test_whoever_comes_first_brings_it_up(old):
    with ThreadPoolExecutor(6) as pool:
        opened = list(pool.map(lambda _: JudgementStore(old), range(6)))
    assert len({store.clicks.id for store in opened}) == 1
    for store in opened:
        assert store.history() == HISTORY
        store.close()


# Opens a store as several processes do at once, when its input ends.
OPENER = """
import sys
from bundle.preferences.store.judgement_store import JudgementStore
sys.stdin.read()
with JudgementStore(sys.argv[1]) as store:
    print(store.clicks.id, len(store.history()))
"""


def test_processes_that_open_it_at_once(old):
    command = [sys.executable, "-c", OPENER, str(old)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = [subprocess.Popen(command, cwd=ROOT, text=True, **pipes) for _ in range(3)]
    found = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0] * 3, found
    assert len({said for said, _ in found}) == 1 and found[0][0].endswith(f" {len(HISTORY)}\n")


# Is killed when the last question gets its new names, all else being done.
KILLED = """
import os, sys
from bundle.preferences.store import older_versions
from bundle.preferences.store.judgement_store import JudgementStore
rename = older_versions.rename_content
def rename_content(content, seen=[]):
    seen.append(content)
    if len(seen) == 2:
        os._exit(9)
    return rename(content)
older_versions.rename_content = rename_content
JudgementStore(sys.argv[1])
"""


def test_a_kill_on_the_way_leaves_the_old_file_whole(old):
    before = everything(old)
    done = subprocess.run([sys.executable, "-c", KILLED, str(old)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    assert everything(old) == before
    with JudgementStore(old) as store:
        assert store.history() == HISTORY


def test_it_stays_as_it_was_where_it_cannot_be_brought_up(old):
    raw = sqlite3.connect(old)
    raw.execute("CREATE TABLE latest (x)")  # a table that is in the way
    raw.commit()
    raw.close()
    before = everything(old)
    with pytest.raises(DataError, match=r"old\.sqlite: is no store of judgements .*already") as error:
        JudgementStore(old)
    one_line(error)
    assert everything(old) == before


def test_a_damaged_one_is_told_and_not_written_to(old):
    raw = sqlite3.connect(old)
    (page,) = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = 'answers'").fetchone()
    raw.execute("PRAGMA journal_mode = DELETE")  # all is in the file itself then
    raw.close()
    content = bytearray(old.read_bytes())
    content[4096 * page - 100 : 4096 * page] = b"x" * 100  # entries of the index
    old.write_bytes(content)
    with pytest.raises(DataError, match="is damaged") as error:
        JudgementStore(old)
    one_line(error)
    assert old.read_bytes() == content


def test_on_a_read_only_disk_it_is_refused_in_one_line(old, read_only):
    folder = read_only(old)
    with pytest.raises(
        StorageError, match=r"is a store of version [12], which must be brought up to version 4"
    ) as error:
        JudgementStore(folder / old.name)
    assert "copy it to where you may write" in one_line(error)


def test_a_newer_version_is_refused_in_one_line(tmp_path):
    path = tmp_path / "new.sqlite"
    JudgementStore(path).close()
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA user_version = 5")
    raw.close()
    with pytest.raises(DataError, match="is a store of version 5, expected 4; open it with the release") as error:
        JudgementStore(path)
    one_line(error)
    assert everything(path)[0] == [(5,)]


def test_what_was_spoiled_in_an_old_store_stays_and_is_passed_over(old, caplog):
    bad = ["no JSON", "[1]", "[" * 100_000, '{"regions": "x", "region_split": "y"}']
    raw = sqlite3.connect(old)
    with raw:
        for number, content in enumerate(bad):
            raw.execute("INSERT INTO questions (id, content, priority) VALUES (?, ?, 0)", (f"bad {number}", content))
    raw.close()
    with JudgementStore(old) as store:
        assert store.questions() == QUESTIONS and store.history() == HISTORY
    assert "4 questions are malformed and passed over" in caplog.text
    left = [content for _, content, *_ in everything(old)[2][2:]]
    assert left[:3] == bad[:3] and json.loads(left[3]) == json.loads(bad[3])


def old_line(number: int, **change) -> str:
    """A judgement as version 2 exported it."""
    index, answer, annotator, seconds, created_at, uid = JUDGEMENTS[number]
    winner = answer if isinstance(answer, int) else None
    record = {"priority": QUESTIONS[index].priority, "winner": winner, "answer": answer, "annotator": annotator}
    record |= {"seconds": seconds, "created_at": created_at, "uid": uid}
    return json.dumps(json.loads(CONTENTS[index]) | record | change)


def test_old_json_lines_are_read(tmp_path, old):
    (tmp_path / "old.jsonl").write_text("\n".join(old_line(number) for number in range(len(JUDGEMENTS))))
    with JudgementStore(tmp_path / "new.sqlite") as store:
        assert store.import_jsonl(tmp_path / "old.jsonl") == len(JUDGEMENTS)
        assert store.history() == HISTORY and {question.id for question in store.questions()} == set(IDS)
        store.export_jsonl(tmp_path / "new.jsonl")
    for file, count in (("old.jsonl", 0), ("new.jsonl", 0)):
        with JudgementStore(old) as store:
            assert store.import_jsonl(tmp_path / file) == count, "both are the records that the old store has"
    fields = json.loads((tmp_path / "new.jsonl").read_text().splitlines()[0])
    assert fields["chosen"] == 1 and not fields.keys() & {"answer", "winner", "regions", "index", "region"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"winner": 0}, "winner is 0, expected what answer says"),
        ({"winner": None}, "winner is None, expected what answer says"),
        ({"answer": 3, "winner": 3}, "chosen is 3"),
        ({"chosen": 1}, "unknown: answer"),
        ({"region_split": "grid:8"}, "unknown: regions"),
        ({"region": "0022"}, "box is '0022'"),
    ],
)
def test_old_json_lines_that_contradict_themselves_are_refused(tmp_path, change, message):
    (tmp_path / "old.jsonl").write_text(old_line(0, **change))
    with JudgementStore(tmp_path / "new.sqlite") as store:
        with pytest.raises(DataError, match=message) as error:
            store.import_jsonl(tmp_path / "old.jsonl")
        assert one_line(error).startswith(f"{tmp_path / 'old.jsonl'}: line 1: ")
        assert store.questions() == []
