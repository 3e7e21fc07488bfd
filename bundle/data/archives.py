"""The files in ZIP archives and in folders, listed and read alike, and written only where the caller says."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from bundle.data.image_headers import open_regular
from bundle.data.image_headers.claim import FILE_SAMPLES
from bundle.errors import DataError

MOST_MEMBERS = 200_000
"""Files in an archive, or in a folder and those below it."""
LARGEST_MEMBER = FILE_SAMPLES
"""Bytes of an unpacked file: no image file that is read has more samples."""
_CHUNK = 1 << 20
_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)
"""What :mod:`zipfile` raises for archives that are damaged, encrypted or of an unknown compression."""


class Member(NamedTuple):
    """A file of an archive or below a folder.

    Attributes:
        place: the archive, or the folder.
        name: path in it, with ``/``.
        size: bytes that it takes when it is unpacked; 0 for a file that lies unpacked already.
        unpack: writes it to a path, and says after each piece how many bytes that was.
    """

    place: Path
    name: str
    size: int
    unpack: Callable[[Path, Callable[[int], object]], None]

    def __str__(self) -> str:
        return f"{self.place}: {self.name}"


@contextmanager
def opened_members(places: Iterable[Path]) -> Iterator[list[Member]]:
    """List the files of archives and folders; archives stay open within the context.

    No name in an archive ever becomes a path: who unpacks a file says where to. One that leads out of the archive's
    folder is refused all the same, as is an encrypted file, and one larger than `LARGEST_MEMBER`.

    Args:
        places: ZIP archives, and folders, of which all files at any depth are listed.

    Yields:
        The files, in the order of the places. What macOS adds to archives is left out.

    Raises:
        DataError: a place is missing, neither a folder nor a ZIP archive, damaged, or holds too much.
    """
    with ExitStack() as stack:
        yield [member for place in places for member in _members(place, stack)]


def unpack(member: Member, path: Path, told: Callable[[int], object]) -> None:
    """Write a file of an archive; one of a folder is linked.

    Args:
        member: the file.
        path: where to; nothing may be there.
        told: called with the number of bytes of each piece that was written.

    Raises:
        DataError: the archive is damaged.
        OSError: nothing can be written.
    """
    member.unpack(path, told)


def read_text(member: Member, most: int) -> str:
    """Read a small file.

    Args:
        member: the file.
        most: bytes that it may have.

    Raises:
        DataError: it is larger, damaged, or no UTF-8.
    """
    found = bytearray()
    try:
        if zipfile.is_zipfile(member.place):
            with zipfile.ZipFile(member.place) as archive, archive.open(member.name) as file:
                found += file.read(most + 1)
        else:
            with open_regular(member.place / member.name) as plain:
                found += plain.read(most + 1)
        if len(found) > most:
            raise DataError(f"{member}: has more than {most} bytes")
        return found.decode()
    except DataError:
        raise
    except _FAULTS as error:
        raise _damaged(member, error) from None


def _members(place: Path, stack: ExitStack) -> Sequence[Member]:
    if place.is_dir():
        return _files_below(place)
    with open_regular(place):  # says first where it is no file at all
        pass
    try:
        archive = stack.enter_context(zipfile.ZipFile(place))
        found = [info for info in archive.infolist() if not info.is_dir()]
    except _FAULTS as error:
        raise DataError(f"{place}: cannot be read as a ZIP archive ({error}); download it again") from None
    if len(found) > MOST_MEMBERS:
        raise DataError(f"{place}: holds {len(found)} files, of which at most {MOST_MEMBERS} are read")
    return [_member(place, archive, info) for info in found if not _is_of_macos(info.filename)]


def _files_below(folder: Path) -> list[Member]:
    found: list[Member] = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not _is_of_macos(path.relative_to(folder).as_posix()):
            found.append(Member(folder, path.relative_to(folder).as_posix(), 0, _linked(path.absolute())))
        if len(found) > MOST_MEMBERS:
            raise DataError(f"{folder}: holds more than {MOST_MEMBERS} files; name the folder of the data set alone")
    return found


def _linked(file: Path) -> Callable[[Path, Callable[[int], object]], None]:
    return lambda path, told: path.symlink_to(file)


def _member(place: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    name = info.filename
    if name.startswith("/") or ".." in PurePosixPath(name).parts or ":" in name.split("/")[0]:
        raise DataError(f"{place}: has a file {name[:200]!r}, which leads out of its folder; download it again")
    if info.flag_bits & 1:
        raise DataError(f"{place}: {name}: is encrypted; unpack it, and name the folder instead of the archive")
    if info.file_size > LARGEST_MEMBER:
        raise DataError(
            f"{place}: {name}: unpacks to {info.file_size} bytes, of which at most {LARGEST_MEMBER} are read"
        )
    if stat.S_ISLNK(info.external_attr >> 16):
        raise DataError(
            f"{place}: {name}: is a link, not a file; unpack it, and name the folder instead of the archive"
        )

    def copy(path: Path, told: Callable[[int], object]) -> None:
        with path.open("xb") as file:
            for piece in _pieces(archive, info, place):
                file.write(piece)
                told(len(piece))

    return Member(place, name, info.file_size, copy)


def _pieces(archive: zipfile.ZipFile, info: zipfile.ZipInfo, place: Path) -> Iterator[bytes]:
    """The content; :mod:`zipfile` gives no more bytes than the archive states, and checks their sum at the end."""
    try:
        with archive.open(info) as content:
            while piece := content.read(_CHUNK):
                yield piece
    except _FAULTS as error:
        raise DataError(
            f"{place}: {info.filename}: cannot be unpacked ({str(error) or type(error).__name__}); download it again"
        ) from None


def _damaged(member: Member, error: Exception) -> DataError:
    return DataError(f"{member}: cannot be read ({str(error) or type(error).__name__})")


def _is_of_macos(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return not parts or parts[0] == "__MACOSX" or parts[-1].startswith("._")
