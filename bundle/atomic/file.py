"""Files that appear complete or not at all, and survive a power failure once written."""

import errno
import fcntl
import itertools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from bundle.errors import MendableError, StorageError

_PARTIAL = re.compile(r"\..+\.\d+-\d+\.partial(\..+)?")
_NUMBERS = itertools.count()
_PROBE = bytes(1 << 20)  # a few bytes could fit into a block that the file has already

_REMEDIES = {
    errno.ENOSPC: "free some space and run it again",
    errno.EDQUOT: "free some space or have the quota raised, and run it again",
    errno.EFBIG: "so large a file is not allowed there, see ulimit -f; choose another folder",
    errno.EROFS: "choose another folder",
    errno.EACCES: "make its folder writable, or choose another",
    errno.EPERM: "make its folder writable, or choose another",
    errno.EIO: "the disk has a fault; choose another",
}


@contextmanager
def replacing(path: Path, suffix: str = "") -> Iterator[Path]:
    """Give a temporary file beside ``path`` that replaces it when the block ends without an exception.

    A reader sees the old file or the new one, never a part, even if the writer is killed. After the block, content and
    name are on the disk: a power failure does not undo it.

    Each writer, in any thread or process, has its own temporary name, and locks the file (``flock``) as long as it
    lives. So files of killed writers are recognised; a process deletes them when it first writes to a folder. (On a
    network share whose locks do not reach other machines, only one may write to a folder.)

    Args:
        path: file to be written or replaced; its folder must exist, see :func:`make_folder`.
        suffix: end of the temporary name, for libraries that choose the format by it, such as ``.nii.gz``.

    Yields:
        Path of the temporary file, empty at first. It is deleted if the block fails.

    Raises:
        StorageError: the disk is full, read-only or over quota, whatever exception the block raised for it.
    """
    with storage_errors(path, path):
        _tidy(path.parent.absolute())
        partial, lock = _open_partial(path, suffix)
    try:
        with storage_errors(path, partial):
            yield partial
            sync(partial)
            partial.replace(path)
            sync(path.parent)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
    finally:
        os.close(lock)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, so that they survive a power failure. It may exist already.

    Args:
        folder: the folder.

    Raises:
        StorageError: it cannot be made.
    """
    with storage_errors(folder, folder):
        missing = [above for above in (folder, *folder.parents) if not above.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for made in missing:
            sync(made.parent)


def sync(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, are on the disk.

    Args:
        path: file or folder.
    """
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        # Some network file systems cannot sync folders; they keep names safe by themselves.
        if error.errno != errno.EINVAL or not path.is_dir():
            raise
    finally:
        os.close(opened)


@contextmanager
def abandoned(path: Path) -> Iterator[bool]:
    """Tell whether the writer of a temporary file or folder is gone; it stays locked within the block.

    Args:
        path: file or folder that its writer locks as long as it lives.

    Yields:
        True if it is there and nobody holds its lock. False where that cannot be known.
    """
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = same_file(opened, path)
    except OSError:
        free = False
    try:
        yield free
    finally:
        os.close(opened)


def hold(path: Path, opened: int) -> bool:
    """Lock a temporary file or folder that was just made, until ``opened`` is closed or the process ends.

    Args:
        path: its name.
        opened: its descriptor.

    Returns:
        False if another process has deleted it meanwhile, as abandoned.
    """
    with suppress(OSError):  # without locks nothing is ever taken for abandoned
        fcntl.flock(opened, fcntl.LOCK_EX)
    return same_file(opened, path)


def same_file(opened: int, path: Path) -> bool:
    """Tell whether a descriptor is still that of the file or folder of this name."""
    try:
        return os.path.samestat(os.fstat(opened), os.lstat(path))
    except OSError:
        return False


def temporary_names(path: Path, kind: str = "partial", suffix: str = "") -> Iterator[Path]:
    """Make names beside ``path`` that no other thread or process of this machine uses.

    Args:
        path: the final name.
        kind: last word of the temporary name, such as ``partial``.
        suffix: file suffix, put at the end.

    Yields:
        One name after another; the caller takes the first that does not exist.
    """
    for number in _NUMBERS:
        yield path.with_name(f".{path.name}.{os.getpid()}-{number}.{kind}{suffix}")


@contextmanager
def storage_errors(path: Path, partial: Path) -> Iterator[None]:
    """Turn a full or read-only disk within the block into one line that names the file and what to do.

    Libraries report a full disk in their own ways (ITK and PyTorch as ``RuntimeError``). So after an error without a
    clear cause, writing a few more bytes shows whether the disk is full.

    Args:
        path: the file or folder to name.
        partial: where the block writes: a file, or a folder. Errors about other files are passed on.

    Raises:
        StorageError: the disk cannot be written to.
    """
    try:
        yield
    except OSError as error:
        if not _concerns(error, path, partial):
            raise
        raise _storage_error(path, error) from error
    except StorageError as error:
        cause = error.__cause__
        if str(partial) not in str(error) or not isinstance(cause, OSError):
            raise
        raise _storage_error(path, cause) from cause  # the error names a file within the temporary folder
    except MendableError:
        raise
    except Exception:
        refusal = _refusal(partial)
        if refusal is None:
            raise
        raise _storage_error(path, refusal) from refusal


def _concerns(error: OSError, path: Path, partial: Path) -> bool:
    """Whether an error is about writing here; writes to an open file name none."""
    if error.filename is None:
        return error.errno in _REMEDIES
    named = [Path(os.fsdecode(name)) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    return any(
        name in (path, partial, *path.parents)
        or partial in name.parents
        or (name.parent == path.parent and name.name.startswith(f".{path.name}."))
        for name in named
    )


def _storage_error(path: Path, error: OSError) -> StorageError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    remedy = _REMEDIES.get(error.errno or 0, "choose another folder")
    return StorageError(f"{path}: cannot be written ({reason}); {remedy}")


def _refusal(partial: Path) -> OSError | None:
    """Write some more and return the disk's error, or None. The bytes are removed again."""
    try:
        with (partial / ".probe" if partial.is_dir() else partial).open("ab", buffering=0) as file:
            size = file.tell()
            try:
                if file.write(_PROBE) < len(_PROBE):
                    file.write(_PROBE)  # this write fails with the disk's own reason
                os.fsync(file.fileno())
            finally:
                file.truncate(size)
    except OSError as error:
        return error
    return None


def _open_partial(path: Path, suffix: str) -> tuple[Path, int]:
    """Make and lock an empty file; returns its name and descriptor."""
    for partial in temporary_names(path, suffix=suffix):
        try:
            opened = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            continue
        if hold(partial, opened):
            return partial, opened
        os.close(opened)
    raise AssertionError("there is always another name")


@cache
def _tidy(folder: Path) -> None:
    """Delete the temporary files of killed writers in a folder; once a process, for folders can be long."""
    with suppress(OSError):  # a folder that cannot be tidied can still be written to
        for path in [path for path in folder.iterdir() if _PARTIAL.fullmatch(path.name) and path.is_file()]:
            with abandoned(path) as gone:
                if gone:
                    path.unlink()
