"""The SQLite file of a store: opened or made, read, written in transactions, and watched over."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from bundle.errors import DataError, StorageError
from bundle.preferences.store.older_versions import OLDER, migrate
from bundle.preferences.store.sqlite_place import beside, check_path, identity, sync_folders
from bundle.preferences.store.sqlite_tables import APPLICATION, VERSION, make_tables

WAIT = 30.0
"""Seconds for which a method waits while other programs hold the file; a page that a person looks at takes less."""
PAUSE = 0.01
DISK = ("full", "readonly", "disk I/O", "unable to open")
"""What SQLite says when the disk is at fault."""
SETTINGS = """PRAGMA synchronous = FULL;
    PRAGMA fullfsync = ON;  -- without it, macOS leaves what was flushed in the disk's cache
    PRAGMA foreign_keys = ON;
    SELECT count(*) FROM sqlite_master"""

T = TypeVar("T")


class StoreFile:
    """One file with two connections: readers do not wait for a writer.

    Every commit is flushed to the disk. A file that was deleted, moved or replaced while it is open is neither read nor
    written any more: what is written to a deleted file is lost. On a read-only disk or in a read-only folder it can
    be read. A file of an older version is brought up to this one when it is opened.

    Args:
        path: the file.
        create: make it, in a folder that exists, if it is not there.
        wait: seconds for which a method waits, at most, while another program holds the file.

    Raises:
        DataError: there is no such file, or it is no store of this version, or it is held by another program.
        StorageError: it cannot be made on a read-only or full disk.
    """

    def __init__(self, path: str | Path, create: bool = True, wait: float = WAIT) -> None:
        self.path = Path(path)
        self.wait = wait
        self._writing, self._reading = threading.Lock(), threading.Lock()
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._opened: list[sqlite3.Connection] = []
        self._files: dict[Path, tuple[int, int]] = {}
        is_new = check_path(self.path, create)
        folder = self.path.absolute().parent
        self.read_only = not is_new and not (os.access(self.path, os.W_OK) and os.access(folder, os.W_OK))
        try:
            self._open(create)
        except BaseException as error:
            self.close()
            # SQLite's messages quote the file, and what they quote need not be text
            if isinstance(error, sqlite3.Error | UnicodeDecodeError):
                if any(text in str(error) for text in DISK):
                    raise StorageError(f"{self.path}: cannot be opened ({error}); see to its disk") from None
                raise DataError(f"{self.path}: is no store of judgements ({error}); name another file") from None
            raise
        if is_new:
            sync_folders(folder)

    def close(self) -> None:
        """Close the file. Closing again is harmless."""
        with self._writing, self._reading:
            self._files = {}
            for connection in self._opened:
                connection.close()
            if self._copy is not None:
                self._copy.cleanup()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the file's only place for a writer.

        Yields:
            A connection. All that the block adds with it is on the disk when the block ends, or nothing is.

        Raises:
            DataError: the file was deleted or replaced, or another program holds it.
            StorageError: the disk is full or read-only.
        """
        if self.read_only:
            raise StorageError(
                f"{self.path}: is on a read-only disk or in a read-only folder, so it can only be read; copy it to "
                "where you may write, and name that file"
            )
        deadline = time.monotonic() + self.wait
        with self._turn(self._writing, deadline):
            self._check_in_place()
            try:
                # a transaction that starts as a reader's could not wait for its turn to write
                self._patiently(lambda: self._writer.execute("BEGIN IMMEDIATE"), deadline)
                try:
                    yield self._writer
                    self._writer.execute("COMMIT")
                except BaseException:
                    self._writer.rollback()
                    raise
            except sqlite3.Error as error:
                if any(text in str(error) for text in DISK):
                    raise StorageError(f"{self.path}: cannot be written ({error}); nothing was added") from None
                raise DataError(f"{self.path}: cannot be written ({error}); nothing was added, try again") from None
            self._check_in_place()  # or the commit went into a file without a name

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a query, as they were when it began.

        Raises:
            DataError: the file cannot be read, was deleted or replaced, or another program holds it.
        """
        deadline = time.monotonic() + self.wait
        with self._turn(self._reading, deadline):
            self._check_in_place()
            try:
                return self._patiently(lambda: self._reader.execute(query, values).fetchall(), deadline)
            except (sqlite3.Error, UnicodeDecodeError) as error:
                raise DataError(f"{self.path}: cannot be read ({error}); try again, or import an export") from None

    def _open(self, create: bool) -> None:
        deadline = time.monotonic() + self.wait
        if self.read_only:
            self._reader = self._connect_to_read(deadline)
        else:
            self._writer = self._connect(self.path, "rwc" if create else "rw", deadline)
            self._patiently(lambda: _prepare(self._writer, self.path, create), deadline)
            self._reader = self._connect(self.path, "rw", deadline)
        self._patiently(lambda: check_version(self._reader, self.path), deadline)
        self._patiently(lambda: _check_sound(self._reader, self.path), deadline)
        if not self.read_only:
            try:
                self._files = {name: identity(name) for name in (self.path, *beside(self.path))}
            except OSError:
                raise DataError(
                    f"{self.path}: SQLite cannot keep its log beside it; name a file on a local disk"
                ) from None

    def _connect(self, path: Path, mode: str, deadline: float) -> sqlite3.Connection:
        """A connection for any thread, one at a time, that leaves transactions and waiting to its user."""
        address = f"{path.absolute().as_uri()}?mode={mode}"
        try:
            connection = sqlite3.connect(address, 0, isolation_level=None, check_same_thread=False, uri=True)
        except sqlite3.Error as error:
            raise DataError(f"{self.path}: cannot be opened ({error}); name another file") from None
        self._opened.append(connection)
        # a text that another program spoiled is one bad record, and no reason to read none
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        self._patiently(lambda: connection.executescript(SETTINGS), deadline)
        return connection

    def _connect_to_read(self, deadline: float) -> sqlite3.Connection:
        """A connection to a file whose folder cannot be written, where SQLite may find no room for its own files."""
        try:
            return self._connect(self.path, "ro", deadline)
        except sqlite3.OperationalError:
            pass
        try:
            self._copy = tempfile.TemporaryDirectory()
            for file in (self.path, beside(self.path)[0]):
                if file.is_file():
                    shutil.copy(file, self._copy.name)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read ({error.strerror}); name another file") from None
        return self._connect(Path(self._copy.name) / self.path.name, "rw", deadline)

    def _check_in_place(self) -> None:
        for name, known in self._files.items():
            try:
                there = identity(name) == known
            except OSError:
                there = False
            if not there:
                raise DataError(
                    f"{name}: was deleted, moved or replaced while the store was open, so nothing more is written; put "
                    "it back, or start again with the store that is there"
                )

    @contextmanager
    def _turn(self, lock: threading.Lock, deadline: float) -> Iterator[None]:
        """Take turns with the other threads of this process."""
        if not lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise self._held()
        try:
            yield
        finally:
            lock.release()

    def _patiently(self, work: Callable[[], T], deadline: float) -> T:
        """Do something as soon as no other program holds the file; SQLite itself may wait more than once."""
        while True:
            try:
                return work()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise
            if time.monotonic() > deadline:
                raise self._held()
            time.sleep(PAUSE)

    def _held(self) -> DataError:
        return DataError(
            f"{self.path}: is held by another program, for more than {self.wait:g} s; end that program, or try again"
        )


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse the file of another program, or of another version than this one.

    Args:
        connection: to the file.
        path: the file, for the message.

    Raises:
        DataError: it is no store, or one of a newer version.
        StorageError: it is one of an older version, on a read-only disk or in a read-only folder.
    """
    if _pragma(connection, "application_id") != APPLICATION:
        raise DataError(f"{path}: is no store of judgements; name another file")
    version = int(_pragma(connection, "user_version"))
    if version in OLDER:
        raise StorageError(
            f"{path}: is a store of version {version}, which must be brought up to version {VERSION}, but is on a "
            "read-only disk or in a read-only folder; copy it to where you may write, and name that file"
        )
    if version != VERSION:
        raise DataError(
            f"{path}: is a store of version {version}, expected {VERSION}; open it with the release of this bundle "
            "that wrote it"
        )


def _check_sound(connection: sqlite3.Connection, path: Path) -> None:
    damage = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if damage != "ok":
        damage = " ".join(damage.split())
        raise DataError(f"{path}: is damaged ({damage}); bring back a copy, or import an export into a new file")


def _prepare(connection: sqlite3.Connection, path: Path, create: bool) -> None:
    """Make the tables, or bring those of an older version up, and write ahead to a log. May be tried again."""
    try:
        if (create and _is_new(connection)) or _older_version(connection):
            connection.execute("BEGIN IMMEDIATE")
            if _is_new(connection):  # another process may have come first
                make_tables(connection)
            elif version := _older_version(connection):
                _check_sound(connection, path)  # first, for what is left of a damaged file is not to be written to
                migrate(connection, version)
            connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise
    if _pragma(connection, "application_id") == APPLICATION:
        # refused while another process writes, as a reader turns into a writer here
        connection.execute("PRAGMA journal_mode = WAL")


def _is_new(connection: sqlite3.Connection) -> bool:
    """Tell whether the file is empty, as sqlite leaves one that was opened and never written."""
    count = int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    return count == 0 and _pragma(connection, "application_id") == 0 and _pragma(connection, "user_version") == 0


def _older_version(connection: sqlite3.Connection) -> int:
    """Version of a store that must be brought up to this one, 0 for any other file."""
    version = int(_pragma(connection, "user_version"))
    return version if _pragma(connection, "application_id") == APPLICATION and version in OLDER else 0


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
