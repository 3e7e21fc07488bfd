"""Stores of judgements: their exports, and their files."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from bundle.annotate.vote_service import VoteService
from bundle.preferences.store.judgement_store import Judgement, JudgementStore
from scripts.fuzzing.json_mutations import mutate_json
from scripts.fuzzing.mutations import mutate
from scripts.fuzzing.target import BrokenPromise, Target, refusal
from scripts.fuzzing.tiny_page import IMAGES, make_questions, write_domain

EXPORT, STORE = "export.jsonl", "preferences.sqlite"
TIME = "2024-02-29T23:59:59.125000+00:00"
CHOSEN: tuple[int | str, ...] = (1, 0, "none", "tie", "skip", "undo", 2)
WORDS = (
    *("none", "tie", "skip", "undo", "person:ada", "person:bob", "oracle:noise=0", "evolution:x", TIME),
    *("grid:16", "image"),
    *(
        "grid:1",
        "components:0",
        "components:99999999999",
        "nonsense",
        [0, 0, 16, 16],
        [0, 0, 99999, 99999],
        0,
        1,
        5,
        2**40,
    ),
)
CELLS: tuple[Any, ...] = (
    *(None, 0, -1, 1, 2**63 - 1, 1e308, float("inf"), "", "x", "\x00", "tie", "nan", "x" * 5000, b"", b"\xff\xfe"),
    *("{}", "[]", "null", "[" * 5000, "1" * 400, "person:ada", TIME),
)


class StoreTarget(Target):
    """A store with some judgements of questions about a small domain.

    Args:
        folder: as of :class:`Target`.
    """

    group = "files"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        domain, candidates = write_domain(folder / "domain"), folder / "candidates"
        self.questions = make_questions(domain, candidates)
        self.images = {str(domain / name): number for number, name in enumerate(IMAGES)}
        self.candidates = candidates
        self.sound = folder / STORE
        with JudgementStore(self.sound) as store:
            store.open_questions(self.questions)
            for number, chosen in enumerate(CHOSEN):
                asked = self.questions[number // 2]
                store.add(Judgement(asked, chosen, "person:ada", 1.5, TIME, f"{number:032d}"))
            store.clicks.save(self.questions[0].image, {(10, 12): 1, (3, 4): 0}, 0, "person:ada", "9" * 32)
            store.export_jsonl(folder / EXPORT)

    def use(self, store: JudgementStore) -> None:
        """Ask everything of a store that the page and a training ask."""
        vote_service = VoteService(store, self.images, self.candidates)
        store.judgements()
        store.history()
        store.clicks.history()
        store.clicks.of_all(store.clicks.last())
        vote_service.progress("ada")
        for name in ("ada", "new"):
            json.dumps(vote_service.next_questions(name))
        store.export_jsonl(self.folder / "again.jsonl")


class Exports(StoreTarget):
    """JSON Lines that are imported into a store, which must serve everybody afterwards."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.lines = (folder / EXPORT).read_bytes().splitlines()

    def mutate(self, random: Random) -> dict[str, bytes]:
        """Damage an export: mostly a record, else its text."""
        lines = list(self.lines)
        if random.random() < 0.8:
            at = random.randrange(len(lines))
            record = json.loads(lines[at])
            if random.random() < 0.7:
                record["uid"] = f"new {random.random()}"
            lines[at] = mutate_json(record, random, WORDS)
            return {EXPORT: b"\n".join(lines)}
        return {
            EXPORT: mutate(b"\n".join(lines), random, (b"\n", b"\x00", b"\xff", b"null", b"[" * 5000, b"\r", b"NaN"))
        }

    def attack(self, given: Path) -> str | None:
        """Import it into a store that is in use."""
        path = given / "in-use.sqlite"
        shutil.copy(self.sound, path)
        with JudgementStore(path) as store:
            refused = refusal(lambda: store.import_jsonl(given / EXPORT), EXPORT)
            try:
                self.use(store)
            except Exception as error:
                raise BrokenPromise(f"the store cannot be used after the import: {error}") from error
        return refused


class Stores(StoreTarget):
    """The file of a store, damaged by a disk or by another program."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.content = self.sound.read_bytes()

    def mutate(self, random: Random) -> dict[str, bytes]:
        """Damage its bytes, or cells of its tables."""
        if random.random() < 0.5:
            return {STORE: mutate(self.content, random, (b"SQLite format 3\x00", b"CREATE TABLE", b"\x00" * 512))}
        path = self.folder / "made.sqlite"
        path.write_bytes(self.content)
        connection = sqlite3.connect(path)
        try:
            change_cells(connection, random)
        finally:
            connection.close()
        return {STORE: path.read_bytes()}

    def attack(self, given: Path) -> str | None:
        """Read it, and add to it."""

        def use() -> None:
            with JudgementStore(given / STORE, create=False) as store:
                self.use(store)
                store.add(Judgement(self.questions[0], 1, "person:bob", 1.0))
                self.use(store)

        return refusal(use, STORE)


def change_cells(connection: sqlite3.Connection, random: Random) -> None:
    """Write something else in one to four cells of a store, which its triggers would refuse."""
    connection.execute("PRAGMA journal_mode = DELETE")
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")]
    filled = [table for table in tables if connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]]
    for _ in range(random.randint(1, 4)):
        table = random.choice(filled)
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        rows = [row[0] for row in connection.execute(f"SELECT rowid FROM {table}")]
        column, row = random.choice(columns), random.choice(rows)
        old = connection.execute(f"SELECT {column} FROM {table} WHERE rowid = ?", (row,)).fetchone()[0]
        new = random.choice(CELLS)
        if isinstance(old, str) and old.startswith("{"):
            with suppress(ValueError, RecursionError):  # an earlier change may have spoilt it
                new = mutate_json(json.loads(old), random, WORDS).decode("utf-8", "replace")
        try:
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (new, row))
        except sqlite3.Error:  # what SQLite itself does not take cannot be found in a file either
            continue
    connection.commit()
