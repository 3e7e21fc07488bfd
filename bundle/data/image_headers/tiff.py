"""The directories of a TIFF or BigTIFF file."""

from __future__ import annotations

import struct
from typing import Any, BinaryIO, NamedTuple

from .claim import LOSSY, SECTION_SAMPLES, Claim, HeaderError, check_claim

_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_TYPE_CODES = {1: "B", 3: "H", 4: "I", 16: "Q", 13: "I", 18: "Q"}
"""``struct`` codes of the field types of unsigned whole numbers."""
_COMPRESSIONS = {1: False, 5: True, 8: True, 32946: True, 32773: True}
"""Compression codes (none, LZW, Deflate twice, PackBits): whether they compress."""
_LOSSY = (6, 7, 33003, 33005, 34712, 34933, 34934)
"""JPEG and its kin."""
_TYPES = {(1, 1), (8, 1), (8, 2), (16, 1), (16, 2), (16, 3), (32, 1), (32, 2), (32, 3), (64, 3)}
"""Allowed pairs of bits of a sample and sample format: 1 unsigned, 2 signed, 3 floating point."""
_MOST_DIRECTORIES = 1 << 16
_MOST_ENTRIES = 512
_MOST_PARTS = 1 << 22
_LONGEST_EXTRA = 1 << 26
"""Largest tag in bytes that is not about pixels, such as a description in XML."""
_TILE = 1 << 14

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIPS, _CHANNELS, _ROWS, _STRIP_SIZES, _PLANAR = (
    254, 256, 257, 258, 259, 262, 273, 277, 278, 279, 284)  # fmt: skip
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES, _FORMAT, _DEPTH = 322, 323, 324, 325, 339, 32997
_NUMBERS = (_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIPS, _CHANNELS, _ROWS, _STRIP_SIZES,
            _PLANAR, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES, _FORMAT, _DEPTH)  # fmt: skip


class _Layout(NamedTuple):
    """Byte order, and how long numbers are: TIFF or BigTIFF."""

    order: str
    offset: str
    entries: str
    entry: int

    def unpack(self, code: str, data: bytes) -> tuple[Any, ...]:
        if len(data) < struct.calcsize(self.order + code):
            raise HeaderError("it is truncated in a directory")
        return struct.unpack_from(self.order + code, data)


def read_tiff(file: BinaryIO, size: int) -> Claim:
    """Check all pages of a TIFF file: tags, sizes, and that the pixels of each lie in the file.

    Args:
        file: at its beginning.
        size: of the file in bytes.

    Raises:
        HeaderError: what is wrong.
    """
    layout, at = _layout(file)
    seen: set[int] = set()
    pages: list[Claim] = []
    stored = 0
    while at:
        if at in seen or len(seen) >= _MOST_DIRECTORIES:
            raise HeaderError("its directories run in a circle, or are too many")
        seen.add(at)
        tags, at = _directory(file, size, layout, at)
        if _one(tags, _SUBFILE, 0) & ~2:  # a thumbnail or a mask of another page
            continue
        page, length = _page(tags, size)
        pages.append(page)
        stored += length
        if page[:4] != pages[0][:4]:
            raise HeaderError(f"its page {len(pages)} has another size or type of pixels than the first one")
    if not pages:
        raise HeaderError("it has no page")
    shape = (*pages[0].shape, len(pages)) if len(pages) > 1 else pages[0].shape
    claim = pages[0]._replace(shape=shape)
    check_claim(claim, min(stored, size))
    return claim


def _layout(file: BinaryIO) -> tuple[_Layout, int]:
    """Byte order and version, and where the first directory is."""
    start = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(start[:2])
    if order is None or len(start) < 16:
        raise HeaderError("its content is not TIFF")
    (version,) = struct.unpack_from(order + "H", start, 2)
    if version == 42:
        return _Layout(order, "I", "H", 12), struct.unpack_from(order + "I", start, 4)[0]
    if version == 43 and struct.unpack_from(order + "HH", start, 4) == (8, 0):
        return _Layout(order, "Q", "Q", 20), struct.unpack_from(order + "Q", start, 8)[0]
    raise HeaderError("its content is not TIFF")


def _directory(file: BinaryIO, size: int, layout: _Layout, at: int) -> tuple[dict[int, tuple[int, ...]], int]:
    """Read the numbers of the tags about pixels, check that the values of all lie in the file, find the next one."""
    file.seek(min(at, size))
    (count,) = layout.unpack(layout.entries, file.read(struct.calcsize("<" + layout.entries)))
    if not 1 <= count <= _MOST_ENTRIES:
        raise HeaderError(f"a directory has {count} entries; expected 1 to {_MOST_ENTRIES}")
    entries = file.read(count * layout.entry)
    (following,) = layout.unpack(layout.offset, file.read(struct.calcsize("<" + layout.offset)))
    tags: dict[int, tuple[int, ...]] = {}
    for start in range(0, len(entries), layout.entry):
        tag, kind, length = layout.unpack("HH" + layout.offset, entries[start:])
        value = entries[start + 4 + struct.calcsize("<" + layout.offset) : start + layout.entry]
        bytes_ = _TYPE_BYTES.get(kind, 1) * length
        if bytes_ > len(value):
            (place,) = layout.unpack(layout.offset, value)
            if place + bytes_ > size or (tag not in _NUMBERS and bytes_ > _LONGEST_EXTRA):
                raise HeaderError(f"its tag {tag} claims {bytes_} bytes at byte {place}; it is truncated")
        if tag not in _NUMBERS:
            continue
        if tag in tags or kind not in _TYPE_CODES or not 1 <= length <= _MOST_PARTS:
            raise HeaderError(f"its tag {tag} is of type {kind} and length {length}, or there twice")
        if bytes_ > len(value):
            file.seek(place)
            value = file.read(bytes_)
        tags[tag] = layout.unpack(f"{length}{_TYPE_CODES[kind]}", value)
    return tags, following


def _page(tags: dict[int, tuple[int, ...]], size: int) -> tuple[Claim, int]:
    """Check a page; returns its claim and the bytes that are stored for it."""
    width, height = _one(tags, _WIDTH), _one(tags, _HEIGHT)
    channels, compression = _one(tags, _CHANNELS, 1), _one(tags, _COMPRESSION, 1)
    if compression in _LOSSY:
        raise HeaderError(f"it is compressed with loss, as JPEG; {LOSSY}")
    if compression not in _COMPRESSIONS:
        raise HeaderError(f"its compression {compression} is not read; save it with LZW, Deflate or none")
    if not 1 <= channels <= 4 or _one(tags, _PLANAR, 1) not in (1, 2):
        raise HeaderError(f"it has {channels} channels; expected gray, RGB or RGBA")
    bits, formats = set(tags.get(_BITS, (1,))), set(tags.get(_FORMAT, (1,)))
    if len(bits) > 1 or len(formats) > 1:
        raise HeaderError("its channels have different types")
    (bit,), (format_,) = bits, formats
    format_ = 1 if format_ == 4 else format_  # not defined: without sign
    if (bit, format_) not in _TYPES:
        raise HeaderError(f"its pixels have {bit} bits of kind {format_}; expected 8, 16 or 32, or floating point")
    photometric = _one(tags, _PHOTOMETRIC, 1)
    if photometric > 2:
        raise HeaderError(f"its colours are of kind {photometric}, such as a palette; save it as plain gray")
    if _one(tags, _DEPTH, 1) != 1:
        raise HeaderError("its pages are volumes; save them as a page for each section")
    claim = Claim((width, height), channels, bit, _COMPRESSIONS[compression])
    if claim.samples > SECTION_SAMPLES * 4 or min(width, height) < 1:
        check_claim(claim, size)
    return claim, _stored(tags, claim, size)


def _stored(tags: dict[int, tuple[int, ...]], claim: Claim, size: int) -> int:
    """Check that each strip or tile lies in the file; returns their bytes."""
    width, height = claim.shape
    planes = claim.channels if _one(tags, _PLANAR, 1) == 2 else 1
    samples = claim.channels // planes
    tiled = _TILES in tags or _TILE_WIDTH in tags
    if tiled:
        across, rows = _one(tags, _TILE_WIDTH), _one(tags, _TILE_HEIGHT)
        if not (16 <= across <= _TILE and 16 <= rows <= _TILE):
            raise HeaderError(f"its tiles are {across} x {rows} pixels; expected 16 to {_TILE}")
        parts = -(-width // across) * -(-height // rows) * planes
        starts, lengths = tags.get(_TILES, tags.get(_STRIPS, ())), tags.get(_TILE_SIZES, tags.get(_STRIP_SIZES, ()))
    else:
        across, rows = width, min(_one(tags, _ROWS, height), height)
        if rows < 1:
            raise HeaderError("its strips have no rows")
        parts = -(-height // rows) * planes
        starts, lengths = tags.get(_STRIPS, ()), tags.get(_STRIP_SIZES, ())
    if len(starts) != parts or len(lengths) != parts:
        raise HeaderError(f"it has {len(starts)} places and {len(lengths)} lengths of its {parts} strips or tiles")
    if any(start + length > size for start, length in zip(starts, lengths, strict=True)):
        raise HeaderError("it is truncated: strips or tiles lie behind its end")
    whole = (across * samples * claim.sample_bits + 7) // 8
    if not claim.compressed:
        for number, length in enumerate(lengths):
            used = rows if tiled else min(rows, height - number % (parts // planes) * rows)
            if length < whole * used:
                raise HeaderError(f"a strip or tile has {length} bytes; expected {whole * used}")
    elif whole * rows > 2**31 - 1:
        raise HeaderError(f"a strip or tile has {whole * rows} bytes; expected less than 2 GB")
    return sum(lengths)


def _one(tags: dict[int, tuple[int, ...]], tag: int, default: int | None = None) -> int:
    """The single number of a tag."""
    found = tags.get(tag, () if default is None else (default,))
    if len(found) != 1:
        raise HeaderError(f"its tag {tag} has {len(found)} numbers; expected one")
    return found[0]
