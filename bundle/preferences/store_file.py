"""The SQLite file of a store of judgements: its tables, and how it is opened or made."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from bundle.errors import DataError

APPLICATION = 0x50444A53  # "PDJS", tells this file from those of other programs
VERSION = 1
WAIT = 30.0  # seconds for which a process waits while others write

# A column without a type keeps numbers and texts as they come: an answer is either.
TABLES = (
    """CREATE TABLE questions (
        id TEXT PRIMARY KEY NOT NULL, content TEXT NOT NULL, priority REAL NOT NULL,
        opened_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')))""",
    """CREATE TABLE judgements (
        number INTEGER PRIMARY KEY, uid TEXT UNIQUE NOT NULL, question TEXT NOT NULL REFERENCES questions (id),
        answer NOT NULL, annotator TEXT NOT NULL, seconds REAL NOT NULL, created_at TEXT NOT NULL)""",
    "CREATE INDEX answers ON judgements (question, annotator, number)",
)
# REPLACE deletes without a delete trigger, so what would take the place of a record is refused as well.
REFUSE = "BEGIN SELECT RAISE(ABORT, 'records are only ever added'); END"
TRIGGERS = tuple(
    f"CREATE TRIGGER {table}_{event} BEFORE {event} ON {table} {REFUSE}"
    for table in ("questions", "judgements")
    for event in ("UPDATE", "DELETE")
) + tuple(
    f"CREATE TRIGGER {table}_REPLACE BEFORE INSERT ON {table} "
    f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {key} = NEW.{key} OR rowid = NEW.rowid) {REFUSE}"
    for table, key in (("questions", "id"), ("judgements", "uid"))
)


def open_store_file(path: Path, create: bool) -> sqlite3.Connection:
    """Open the file of a store.

    Args:
        path: the file.
        create: make it, in a folder that exists, if it is not there.

    Returns:
        A connection for any thread, one at a time, that leaves transactions to its user. Every commit is flushed to
        the disk.

    Raises:
        DataError: there is no such file, or it is no store of this version.
    """
    if not create and not path.is_file():
        raise DataError(f"{path}: no such store of judgements; open questions first, or name another file")
    try:
        connection = sqlite3.connect(path, WAIT, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise DataError(f"{path}: cannot be opened ({error}); name a file in a folder that exists") from None
    try:
        _prepare(connection, path, create)
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error):
            raise DataError(f"{path}: is no store of judgements ({error}); name another file") from None
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, create: bool) -> None:
    """Make the tables if there are none, check whose they are, and set up the connection."""
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")  # without it, macOS leaves what was flushed in the disk's cache
    connection.execute("PRAGMA foreign_keys = ON")
    if create and _is_new(connection):
        connection.execute("BEGIN IMMEDIATE")
        if _is_new(connection):  # another process may have come first
            for statement in (*TABLES, *TRIGGERS):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    if _pragma(connection, "application_id") != APPLICATION:
        raise DataError(f"{path}: is no store of judgements; name another file")
    version = _pragma(connection, "user_version")
    if version != VERSION:
        raise DataError(
            f"{path}: is a store of version {version}, expected {VERSION}; export it with the release of this bundle "
            "that wrote it, and import that into a new file"
        )
    _use_write_ahead_log(connection)


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Change a new file's journal; in others this changes nothing."""
    deadline = time.monotonic() + WAIT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            # a reader turns into a writer here, which SQLite refuses at once, without waiting, while another one writes
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def _is_new(connection: sqlite3.Connection) -> bool:
    """Tell whether the file is empty, as sqlite leaves one that was opened and never written."""
    count = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return count == 0 and _pragma(connection, "application_id") == 0 and _pragma(connection, "user_version") == 0


def _pragma(connection: sqlite3.Connection, name: str) -> Any:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]
