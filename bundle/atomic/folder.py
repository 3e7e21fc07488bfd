"""Folders that appear complete or not at all, and survive a power failure once written."""

import ctypes
import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bundle.atomic.file import abandoned, hold, make_folder, storage_errors, sync, temporary_names

_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


@contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``output`` that replaces it when the block ends without an exception.

    A run that is killed leaves the old folder or the new one. (Where the file system cannot exchange two names in one
    step, there is a moment with neither; :func:`finish_replacing` then puts the old one back.) After the block
    all of it is on the disk: a power failure does not undo it.

    Args:
        output: folder to be written or replaced.

    Yields:
        The temporary folder, empty. It is deleted if the block fails.

    Raises:
        StorageError: the disk is full, read-only or over quota, whatever exception the block raised for it.
    """
    output = output.resolve()
    with scratch_folder(output) as partial:
        yield partial
        _sync_tree(partial)
        replaced = _take_place(partial, output)
        sync(output.parent)
        if replaced is not None:
            shutil.rmtree(replaced, ignore_errors=True)


@contextmanager
def scratch_folder(output: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``output``, deleted at the end of the block.

    That of a run that is killed is deleted by :func:`finish_replacing`.

    Args:
        output: the file or folder that is made with its help; it is not touched.

    Yields:
        The temporary folder, empty.

    Raises:
        StorageError: the disk is full, read-only or over quota, whatever exception the block raised for it.
    """
    output = output.resolve()
    make_folder(output.parent)
    with storage_errors(output, output):
        folder, lock = _make_partial(output)
    try:
        with storage_errors(output, folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def finish_replacing(output: Path) -> None:
    """Finish or undo what killed runs of :func:`new_folder` left. Call it before anything else is done with the folder.

    Args:
        output: folder to be written. If it is missing and an old one was moved out of the way, that is put back.
            What else they left is deleted.

    Raises:
        StorageError: it cannot be put back.
    """
    output = output.resolve()
    ours = re.compile(rf"\.{re.escape(output.name)}\.\d+-\d+\.(partial|replaced)")
    names = sorted(path for path in output.parent.glob(".*") if ours.fullmatch(path.name))
    for path in names:
        with abandoned(path) as gone, storage_errors(output, path):
            if gone and path.name.endswith(".replaced") and not output.exists():
                path.rename(output)
                sync(output.parent)
            elif gone:
                shutil.rmtree(path, ignore_errors=True)


def _make_partial(output: Path) -> tuple[Path, int]:
    """Make and lock an empty folder; returns its name and descriptor."""
    for partial in temporary_names(output):
        try:
            partial.mkdir()
            opened = os.open(partial, os.O_RDONLY)
        except (FileExistsError, FileNotFoundError):  # the name was in use, or the folder was deleted as abandoned
            continue
        if hold(partial, opened):
            return partial, opened
        os.close(opened)
    raise AssertionError("there is always another name")


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)


def _take_place(partial: Path, output: Path) -> Path | None:
    """Give ``partial`` the name ``output``; returns the name that what was there has now."""
    try:
        old = os.open(output, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        partial.rename(output)
        return None
    try:
        with suppress(OSError):  # locked, so that no other run takes the old folder for abandoned
            fcntl.flock(old, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _exchange(partial, output):
            return partial
        replaced = next(name for name in temporary_names(output, "replaced") if not name.exists())
        output.rename(replaced)
        try:
            partial.rename(output)
        except OSError:
            replaced.rename(output)
            raise
        return replaced
    finally:
        os.close(old)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where the system or the file system cannot."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    if renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))
