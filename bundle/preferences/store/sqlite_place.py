"""Checks of the path of a store, and of the files that SQLite keeps beside it."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from bundle.atomic import sync
from bundle.errors import DataError, StorageError

KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


def check_path(path: Path, create: bool) -> bool:
    """Refuse what cannot be a store before it is opened: reading from a pipe would never end.

    Args:
        path: of the store.
        create: make it if it is not there.

    Returns:
        Whether it must be made.

    Raises:
        DataError: there is no such file, or no file but something else, or it is empty and its log is not.
        StorageError: it cannot be made in a read-only folder.
    """
    log, logged = beside(path)[0], 0
    with suppress(OSError, ValueError):
        logged = log.stat().st_size  # before the file itself, which another process may be making
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        found = None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be looked at ({error}); name another file") from None
    if found is not None and not stat.S_ISREG(found.st_mode):
        kind = KINDS.get(stat.S_IFMT(found.st_mode), "a device")
        raise DataError(f"{path}: is {kind} and no store of judgements; name a file")
    if found is None and not create:
        raise DataError(f"{path}: no such store of judgements; open questions first, or name another file")
    folder = path.absolute().parent
    if found is None and not folder.is_dir():
        raise DataError(f"{path}: cannot be made; name a file in a folder that exists")
    if found is None and not os.access(folder, os.W_OK):
        raise StorageError(f"{path}: cannot be made, for its folder or disk is read-only; name another file")
    if logged and (found is None or found.st_size == 0):
        # SQLite would take the file for new and delete the log, in which the last records may be
        raise DataError(
            f"{path}: is gone or empty, but {log.name} beside it holds records; bring the file back, or move both away"
        )
    return found is None


def beside(path: Path) -> tuple[Path, Path]:
    """The files that SQLite keeps beside an open one, links followed: the log of what was written, and its index."""
    path = Path(os.path.realpath(path))
    return path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


def identity(path: Path) -> tuple[int, int]:
    """What tells a file from another one of its name: disk and number on it."""
    found = path.stat()
    return found.st_dev, found.st_ino


def sync_folders(folder: Path) -> None:
    """Put the name of a new file on the disk, and those of the folders that were made for it."""
    for each in (folder, *folder.parents):
        with suppress(OSError):
            sync(each)
