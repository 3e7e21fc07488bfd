"""The header of a MetaImage: MHA, or MHD with its pixels in a file beside it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO

from .claim import Claim, HeaderError, check_claim, one_of, whole_numbers

DATA_SUFFIXES = (".raw", ".zraw")
"""Suffixes of the pixel file beside an MHD."""
_LONGEST = 1 << 16
"""Largest header in bytes; most have 300."""
_LINE = re.compile(r"(?P<key>[\w|.-]{1,100})[ \t]*[=:][ \t]*(?P<value>[^\0]{0,400})")
_BITS = {
    "MET_UCHAR": 8,
    **dict.fromkeys(("MET_SHORT", "MET_USHORT"), 16),
    **dict.fromkeys(("MET_INT", "MET_UINT", "MET_LONG", "MET_ULONG", "MET_FLOAT"), 32),
    **dict.fromkeys(("MET_DOUBLE", "MET_ULONG_LONG"), 64),
}
_NUMBER = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,2})?")
_ONE = ("ID", "ParentID", "ElementMin", "ElementMax", "ElementNBits", "ElementToIntensityFunctionSlope",
        "ElementToIntensityFunctionOffset")  # fmt: skip
_EACH_AXIS = ("Position", "Origin", "Offset", "CenterOfRotation", "ElementSpacing", "ElementSize", "ImagePosition")
_MATRIX = ("Orientation", "Rotation", "TransformMatrix")
_FLAGS = ("BinaryData", "BinaryDataByteOrderMSB", "ElementByteOrderMSB", "CompressedData")
_REFUSED = ("NObjects", "Color", "SequenceID", "ObjectSubType")
"""Fields of other kinds of objects, or whose length differs from the number of axes."""


def read_metaimage(file: BinaryIO, size: int, path: Path) -> Claim:
    """Check a MetaImage header, and for an MHD the file of its pixels.

    Numbers are counted: where a line has too few, ITK's reader would take the missing ones from the next lines.

    Args:
        file: at its beginning.
        size: of the file in bytes.
        path: of the file; pixels that are not in it must lie beside it.

    Raises:
        HeaderError: what is wrong.
    """
    fields = _fields(file)
    one_of(fields.get("ObjectType", "Image"), ("Image",), "ObjectType")
    (dimension,) = whole_numbers(fields.get("NDims", ""), 1, "NDims")
    if not 2 <= dimension <= 4:
        raise HeaderError(f"its NDims is {dimension}; expected a 2D image or a 3D stack of sections")
    shape = whole_numbers(fields.get("DimSize", ""), dimension, "DimSize")
    (channels,) = whole_numbers(fields.get("ElementNumberOfChannels", "1"), 1, "ElementNumberOfChannels")
    if not 1 <= channels <= 4:
        raise HeaderError(f"it has {channels} channels; expected gray, RGB or RGBA")
    flags = {name: one_of(fields[name].lower(), ("true", "false"), name) == "true" for name in _FLAGS if name in fields}
    if not flags.get("BinaryData"):
        raise HeaderError("its pixels are text; save it with BinaryData = True")
    _check_numbers(fields, dimension)
    bits = _BITS[one_of(fields.get("ElementType", ""), tuple(_BITS), "ElementType")]
    compressed = flags.get("CompressedData", False)
    name = fields["ElementDataFile"]
    data_file = None if name == "LOCAL" else _beside(path, name)
    claim = Claim(shape, channels, bits, compressed, data_file)
    stored = size - file.tell() if data_file is None else data_file.stat().st_size
    check_claim(claim, stored - _skipped(fields, stored, claim))
    if "CompressedDataSize" in fields:
        (length,) = whole_numbers(fields["CompressedDataSize"], 1, "CompressedDataSize")
        if length > stored:
            raise HeaderError(f"it claims {length} compressed bytes, but the file holds {stored}; it is truncated")
    return claim


def _fields(file: BinaryIO) -> dict[str, str]:
    """Read the lines up to the one that says where the pixels are."""
    fields: dict[str, str] = {}
    while "ElementDataFile" not in fields:
        line = file.readline(_LONGEST)
        if not line:
            raise HeaderError("its content is not a MetaImage with an ElementDataFile")
        if file.tell() > _LONGEST:
            raise HeaderError("its header does not end")
        text = line.decode("latin-1").strip()
        if not text:
            continue
        match = _LINE.fullmatch(text)
        if not match:
            raise HeaderError(f"its header has a line {text[:40]!r}; expected KEY = VALUE")
        if match["key"] in fields:
            raise HeaderError(f"its header says {match['key']} twice")
        if match["key"] in _REFUSED:
            raise HeaderError(f"its header has a line {text[:40]!r}, which is not read")
        fields[match["key"]] = match["value"]
    return fields


def _check_numbers(fields: dict[str, str], dimension: int) -> None:
    counts = {
        **dict.fromkeys(_ONE, 1),
        **dict.fromkeys(_EACH_AXIS, dimension),
        **dict.fromkeys(_MATRIX, dimension * dimension),
    }
    for name, count in counts.items():
        words = fields[name].split() if name in fields else ["0"] * count
        if len(words) != count or not all(map(_NUMBER.fullmatch, words)):
            raise HeaderError(f"{name} is {fields[name][:40]!r}; expected {count} finite number{'s' * (count > 1)}")


def _beside(path: Path, name: str) -> Path:
    """The file of the pixels of an MHD: a plain name in the same folder."""
    suffixes = " or ".join(DATA_SUFFIXES)
    if path.suffix.lower() != ".mhd":
        raise HeaderError(f"its pixels lie in another file, {name[:60]!r}; save it as one .mha")
    if Path(name).name != name or "\\" in name or "%" in name or not name.lower().endswith(DATA_SUFFIXES):
        raise HeaderError(f"its ElementDataFile is {name[:60]!r}; expected the name of a {suffixes} file beside it")
    found = path.parent / name
    if not found.exists():
        raise HeaderError(f"its ElementDataFile {name[:60]!r} is not there")
    if found.is_symlink() or not found.is_file():
        raise HeaderError(f"its ElementDataFile {name[:60]!r} is a link or no regular file")
    return found


def _skipped(fields: dict[str, str], stored: int, claim: Claim) -> int:
    """Bytes before the pixels in their file."""
    if fields.get("HeaderSize", "0") == "0":
        return 0
    if claim.data_file is None or claim.compressed:
        raise HeaderError("it has a HeaderSize, which is read only with plain pixels in a file of their own")
    if fields["HeaderSize"] == "-1":  # -1: all bytes before the pixels, which end the file
        return max(0, stored - claim.size)
    return whole_numbers(fields["HeaderSize"], 1, "HeaderSize")[0]
