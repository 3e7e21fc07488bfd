"""The tables of a store's SQLite file, and how a file of an older version gets those that it lacks."""

from __future__ import annotations

import sqlite3
import uuid

APPLICATION = 0x50444A53  # "PDJS", tells this file from those of other programs
VERSION = 2

# A column without a type keeps numbers and texts as they come: an answer is either.
QUESTIONS_AND_JUDGEMENTS = (
    """CREATE TABLE questions (
        id TEXT PRIMARY KEY NOT NULL, content TEXT NOT NULL, priority REAL NOT NULL,
        opened_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')))""",
    """CREATE TABLE judgements (
        number INTEGER PRIMARY KEY, uid TEXT UNIQUE NOT NULL, question TEXT NOT NULL REFERENCES questions (id),
        answer NOT NULL, annotator TEXT NOT NULL, seconds REAL NOT NULL, created_at TEXT NOT NULL)""",
    "CREATE INDEX answers ON judgements (question, annotator, number)",
)
# The number of a record is the version of its image, so numbers only ever grow.
CLICKS = (
    """CREATE TABLE clicks (
        number INTEGER PRIMARY KEY, uid TEXT NOT NULL CHECK (uid <> ''),
        image TEXT NOT NULL CHECK (typeof(image) = 'text' AND image <> ''),
        x INTEGER NOT NULL CHECK (typeof(x) = 'integer' AND x BETWEEN 0 AND 1048575),
        y INTEGER NOT NULL CHECK (typeof(y) = 'integer' AND y BETWEEN 0 AND 1048575),
        label INTEGER NOT NULL CHECK (label IN (0, 1)),
        action TEXT NOT NULL CHECK (action IN ('add', 'remove')),
        annotator TEXT NOT NULL, created_at TEXT NOT NULL,
        UNIQUE (uid, image, x, y))""",
    "CREATE INDEX pixels ON clicks (image, x, y, number)",
    "CREATE TABLE about (name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL)",
)
REFUSE = "BEGIN SELECT RAISE(ABORT, 'records are only ever added'); END"


def make_tables(connection: sqlite3.Connection) -> None:
    """Make the tables of a new file, within the caller's transaction.

    Args:
        connection: of an empty file.
    """
    for statement in (*QUESTIONS_AND_JUDGEMENTS, *_triggers("questions", "id = NEW.id")):
        connection.execute(statement)
    for statement in _triggers("judgements", "uid = NEW.uid"):
        connection.execute(statement)
    add_clicks(connection)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")


def add_clicks(connection: sqlite3.Connection) -> None:
    """Make a file of version 1, which has no clicks, one of version 2, within the caller's transaction.

    Args:
        connection: of the file.
    """
    same = "(uid = NEW.uid AND image = NEW.image AND x = NEW.x AND y = NEW.y)"
    for statement in (*CLICKS, *_triggers("clicks", same), *_triggers("about", "name = NEW.name")):
        connection.execute(statement)
    connection.execute("INSERT INTO about VALUES ('id', ?)", (uuid.uuid4().hex,))
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _triggers(table: str, same: str) -> list[str]:
    """What keeps the rows of a table as they are, also from other programs."""
    # REPLACE deletes without a delete trigger, so what would take the place of a row is refused as well
    return [
        f"CREATE TRIGGER {table}_UPDATE BEFORE UPDATE ON {table} {REFUSE}",
        f"CREATE TRIGGER {table}_DELETE BEFORE DELETE ON {table} {REFUSE}",
        f"CREATE TRIGGER {table}_REPLACE BEFORE INSERT ON {table} "
        f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same} OR rowid = NEW.rowid) {REFUSE}",
    ]
