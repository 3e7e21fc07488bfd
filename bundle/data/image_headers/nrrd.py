"""The header of an NRRD file."""

from __future__ import annotations

import re
from typing import BinaryIO

from .claim import Claim, HeaderError, check_claim, one_of, whole_numbers

_LONGEST = 1 << 20
"""Largest header in bytes; most have 400."""
_BITS = {
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), 8),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), 16),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), 16),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t"), 32),
    "float": 32,
    "double": 64,
}
_COLOURS = ("vector", "rgb-color", "rgba-color", "3-color", "4-color", "list", "none", "???")
_DOMAINS = ("domain", "space", "time")
_SPACES = ("left", "right", "posterior", "anterior", "superior", "inferior")
_VECTOR = re.compile(r"none|\((?P<numbers>[^()]{1,400})\)")
_NUMBER = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,3})?")
_PLAIN = ("content", "number", "sample units", "endian", "kinds", "centers", "centerings", "labels", "units",
          "space units", "min", "max", "old min", "old max", "type", "dimension", "sizes", "encoding")  # fmt: skip
_GEOMETRY = ("spacings", "thicknesses", "axis mins", "axis maxs", "axismins", "axismaxs", "space", "space dimension",
             "space directions", "space origin", "measurement frame")  # fmt: skip


def read_nrrd(file: BinaryIO, size: int) -> Claim:
    """Check an NRRD header. Only pixels in the same file are read, raw or compressed with gzip.

    Args:
        file: at its beginning.
        size: of the file in bytes.

    Raises:
        HeaderError: what is wrong.
    """
    fields = _fields(file)
    (dimension,) = whole_numbers(fields.get("dimension", ""), 1, "dimension")
    if not 2 <= dimension <= 4:
        raise HeaderError(f"its dimension is {dimension}; expected a 2D image or a 3D stack of sections")
    sizes = whole_numbers(fields.get("sizes", ""), dimension, "sizes")
    kind = fields.get("type", "").lower()
    if kind not in _BITS:
        raise HeaderError(f"its type is {kind[:40]!r}; expected uchar, short, ushort, int, uint, float or double")
    encoding = one_of(fields.get("encoding", "").lower(), ("raw", "gzip", "gz"), "encoding")
    if _BITS[kind] > 8 or "endian" in fields:
        one_of(fields.get("endian", "").lower(), ("little", "big"), "endian")
    _check_geometry(fields, dimension)
    shape, channels = _split(sizes, _kinds(fields, dimension))
    claim = Claim(shape, channels, _BITS[kind], compressed=encoding != "raw")
    check_claim(claim, size - file.tell())
    return claim


def _fields(file: BinaryIO) -> dict[str, str]:
    """Read the lines up to the empty one; names in lower case."""
    if not re.fullmatch(rb"NRRD000[1-5]\r?\n", file.readline(16)):
        raise HeaderError("its content is not NRRD")
    fields: dict[str, str] = {}
    while True:
        line = file.readline(_LONGEST)
        if not line.endswith(b"\n") or file.tell() > _LONGEST:
            raise HeaderError("its header does not end")
        text = line.rstrip(b"\r\n").decode("latin-1")
        if not text:
            return fields
        if "\0" in text:
            raise HeaderError("its header holds a zero byte")
        if text.startswith("#") or re.match(r"[^:]+:=", text):
            continue
        name, colon, value = text.partition(": ")
        name = name.strip().lower()
        if name in ("data file", "datafile"):
            raise HeaderError("its pixels lie in another file; save it as one .nrrd")
        if name in ("line skip", "lineskip", "byte skip", "byteskip") and value.strip() == "0":
            continue
        if not colon or name not in (*_PLAIN, *_GEOMETRY):
            raise HeaderError(f"its header has a line {text[:40]!r}, which is not read")
        if name in fields:
            raise HeaderError(f"its header says {name!r} twice")
        fields[name] = value.strip()


def _kinds(fields: dict[str, str], dimension: int) -> list[str]:
    kinds = fields.get("kinds", " ".join(["domain"] * dimension)).lower().split()
    if len(kinds) != dimension or not set(kinds) <= {*_COLOURS, *_DOMAINS}:
        raise HeaderError(
            f"its kinds are {' '.join(kinds)[:60]!r}; expected one of each axis, of gray or colour pixels"
        )
    return kinds


def _split(sizes: tuple[int, ...], kinds: list[str]) -> tuple[tuple[int, ...], int]:
    """Lengths of the axes along which there are pixels, and the number of channels."""
    colours = [axis for axis, kind in enumerate(kinds) if kind in _COLOURS]
    if not colours or len(colours) == len(sizes):
        return sizes, 1
    if len(colours) > 1:
        raise HeaderError(f"its kinds are {' '.join(kinds)!r}; expected one axis of colours at most")
    axis = colours[0]
    return sizes[:axis] + sizes[axis + 1 :], sizes[axis]


def _check_geometry(fields: dict[str, str], dimension: int) -> None:
    """Check what the pixel sizes are read from: counts of numbers, and that they are numbers."""
    for name in ("spacings", "thicknesses", "axis mins", "axis maxs", "axismins", "axismaxs"):
        words = fields.get(name, " ".join(["1"] * dimension)).split()
        if len(words) != dimension or not all(word.lower() == "nan" or _NUMBER.fullmatch(word) for word in words):
            raise HeaderError(f"{name} is {fields[name][:40]!r}; expected {dimension} numbers")
    if "space" in fields and "space dimension" in fields:
        raise HeaderError("it says both space and space dimension")
    space = _space_dimension(fields, dimension)
    directions = _vectors(fields, "space directions", space)
    if directions and len(directions) != dimension:
        raise HeaderError(f"it has {len(directions)} space directions; expected one of each of {dimension} axes")
    if len(_vectors(fields, "space origin", space)) > 1:
        raise HeaderError("it has several space origins")
    if len(_vectors(fields, "measurement frame", space)) not in (0, space):
        raise HeaderError(f"its measurement frame has not {space} vectors")


def _space_dimension(fields: dict[str, str], dimension: int) -> int:
    if "space dimension" in fields:
        (space,) = whole_numbers(fields["space dimension"], 1, "space dimension")
    elif "space" in fields:
        parts = re.split("[- ]", fields["space"].lower())
        letters = re.fullmatch("[lr][ap][si]t?", fields["space"].lower())
        if not letters and not set(parts) <= {*_SPACES, "time", "scanner", "xyz", "3d", "right", "left", "handed"}:
            raise HeaderError(f"its space is {fields['space'][:40]!r}, which is not known")
        space = 4 if "time" in parts or (letters and len(letters[0]) == 4) else 3
    else:
        space = dimension
    if not 2 <= space <= 4:
        raise HeaderError(f"its space dimension is {space}; expected 2 or 3")
    return space


def _vectors(fields: dict[str, str], name: str, space: int) -> list[str]:
    """The vectors ``(1,0,0) none (0,1,0)`` of a field."""
    text = fields.get(name, "")
    found = list(_VECTOR.finditer(text))
    if _VECTOR.sub("", text).strip():
        raise HeaderError(f"{name} is {text[:60]!r}; expected vectors such as (1,0,0)")
    for match in found:
        numbers = (match["numbers"] or ",".join("0" * space)).split(",")
        if len(numbers) != space or not all(_NUMBER.fullmatch(number.strip()) for number in numbers):
            raise HeaderError(f"{name} is {text[:60]!r}; expected vectors of {space} finite numbers")
    return [match[0] for match in found]
