"""The door through which every image file is read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bundle.errors import DataError

from .claim import Claim, HeaderError
from .metaimage import read_metaimage
from .mrc import read_mrc
from .nifti import read_nifti
from .nrrd import read_nrrd
from .png import read_png
from .tiff import read_tiff


@contextmanager
def checked(path: str | Path) -> Iterator[Claim]:
    """Check an image file by its header; within the context a C library may read it.

    The file is opened here without waiting, so that a FIFO or a device blocks nobody. What was checked is what is read:
    a file that is another one at the end of the context is refused, so what was read of it must be used after that.

    Args:
        path: of an image of one of :data:`bundle.data.image_files.SUFFIXES`.

    Yields:
        What the header claims, within the limits of :mod:`bundle.data.image_headers.claim`.

    Raises:
        DataError: the file is missing, no regular file, not what its name says, malformed, truncated, too large, or
            was replaced while it was read.
    """
    path = Path(path)
    before = [_identity(path)]
    claim = _claim(path)
    files = [path] if claim.data_file is None else [path, claim.data_file]
    before += [_identity(file) for file in files[1:]]
    yield claim
    if [_identity(file) for file in files] != before:
        raise DataError(f"{path}: was replaced while it was read; try again")


@contextmanager
def open_regular(path: str | Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading, without waiting for the writer of a FIFO.

    Raises:
        DataError: it is missing, of another kind, or may not be read.
    """
    _status(Path(path))  # opening a device may already do something
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); name a file that is there") from None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise DataError(f"{path}: is no regular file; expected a file on disk")
        yield file


def _claim(path: Path) -> Claim:
    name = path.name.lower()
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            if name.endswith(".png"):
                return read_png(file, size)
            if name.endswith((".tif", ".tiff")):
                return read_tiff(file, size)
            if name.endswith((".mrc", ".rec", ".st", ".map")):
                return read_mrc(file, size)
            if name.endswith(".nrrd"):
                return read_nrrd(file, size)
            if name.endswith((".mha", ".mhd")):
                return read_metaimage(file, size, path)
            if name.endswith((".nii", ".nii.gz")):
                return read_nifti(file, size, compressed=name.endswith(".gz"))
        except HeaderError as error:
            raise DataError(f"{path}: cannot be read as an image ({error})") from None
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    raise DataError(f"{path}: no image format that is read; save it as PNG, TIFF, MRC, NRRD, MHA or NIfTI")


def _identity(path: Path) -> tuple[str, int, int, int, int, int]:
    """What changes when a file, or a link on the way to it, becomes another."""
    found = _status(path)
    return os.path.realpath(path), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _status(path: Path) -> os.stat_result:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # a circle of links, a zero byte in the name
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', error)})") from None
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{path}: is no regular file; expected a file on disk")
    return found
