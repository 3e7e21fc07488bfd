"""The tables of a store's SQLite file, to whose rows others may only be added."""

from __future__ import annotations

import sqlite3
import uuid

APPLICATION = 0x50444A53  # "PDJS", tells this file from those of other programs
VERSION = 4

# A column without a type keeps numbers and texts as they come: what was chosen is either.
QUESTIONS_AND_JUDGEMENTS = (
    """CREATE TABLE questions (
        id TEXT PRIMARY KEY NOT NULL, content TEXT NOT NULL, priority REAL NOT NULL,
        opened_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')))""",
    """CREATE TABLE judgements (
        number INTEGER PRIMARY KEY, uid TEXT UNIQUE NOT NULL, question TEXT NOT NULL REFERENCES questions (id),
        chosen NOT NULL, annotator TEXT NOT NULL, seconds REAL NOT NULL, created_at TEXT NOT NULL)""",
    "CREATE INDEX latest ON judgements (question, annotator, number)",
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
SAME = {
    "questions": "id = NEW.id",
    "judgements": "uid = NEW.uid",
    "clicks": "(uid = NEW.uid AND image = NEW.image AND x = NEW.x AND y = NEW.y)",
    "about": "name = NEW.name",
}
"""Of each table, when a row would take the place of another."""
REFUSE = "BEGIN SELECT RAISE(ABORT, 'records are only ever added'); END"


def make_tables(connection: sqlite3.Connection) -> None:
    """Make the tables of a new file, within the caller's transaction.

    Args:
        connection: of an empty file.
    """
    for statement in QUESTIONS_AND_JUDGEMENTS:
        connection.execute(statement)
    for table in ("questions", "judgements"):
        protect(connection, table)
    make_click_tables(connection)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def make_click_tables(connection: sqlite3.Connection) -> None:
    """Make the tables of clicks, and give the store its id, within the caller's transaction.

    Args:
        connection: of a file without them.
    """
    for statement in CLICKS:
        connection.execute(statement)
    for table in ("clicks", "about"):
        protect(connection, table)
    connection.execute("INSERT INTO about VALUES ('id', ?)", (uuid.uuid4().hex,))


def protect(connection: sqlite3.Connection, table: str) -> None:
    """Keep the rows of a table as they are, also from other programs.

    Args:
        connection: of the file.
        table: its name.
    """
    unprotect(connection, table)
    for event in ("UPDATE", "DELETE"):
        connection.execute(f"CREATE TRIGGER {table}_{event} BEFORE {event} ON {table} {REFUSE}")
    # REPLACE deletes without a delete trigger, so what would take the place of a row is refused as well
    connection.execute(
        f"CREATE TRIGGER {table}_REPLACE BEFORE INSERT ON {table} "
        f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {SAME[table]} OR rowid = NEW.rowid) {REFUSE}"
    )


def unprotect(connection: sqlite3.Connection, table: str) -> None:
    """Let the rows of a table be changed until :func:`protect`, within the caller's transaction.

    Args:
        connection: of the file.
        table: its name.
    """
    for event in ("UPDATE", "DELETE", "REPLACE"):
        connection.execute(f"DROP TRIGGER IF EXISTS {table}_{event}")
