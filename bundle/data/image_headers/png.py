"""The header of a PNG file."""

from __future__ import annotations

import struct
from typing import BinaryIO

from .claim import Claim, HeaderError, check_claim

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_BITS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_MOST_CHUNKS = 1 << 20


def read_png(file: BinaryIO, size: int) -> Claim:
    """Check the chunks of a PNG file, each of which must lie in it, up to the last one.

    Args:
        file: at its beginning.
        size: of the file in bytes.

    Raises:
        HeaderError: what is wrong.
    """
    if file.read(8) != SIGNATURE:
        raise HeaderError("its content is not PNG")
    header, stored = b"", 0
    for number in range(_MOST_CHUNKS):
        start = file.read(8)
        if len(start) < 8:
            raise HeaderError("it is truncated: its last chunk is missing")
        (length,), kind = struct.unpack(">I", start[:4]), start[4:]
        end = file.tell() + length + 4
        if end > size:
            raise HeaderError(f"it is truncated: its chunk {kind!r} claims {length} bytes")
        if (number == 0) != (kind == b"IHDR"):
            raise HeaderError("its first chunk and no other must be IHDR")
        if kind == b"IHDR":
            header = file.read(length)
        elif kind == b"IDAT":
            stored += length
        elif kind == b"IEND":
            break
        file.seek(end)
    claim = _claim(header)
    check_claim(claim, stored)
    return claim


def _claim(header: bytes) -> Claim:
    if len(header) != 13:
        raise HeaderError(f"its IHDR has {len(header)} bytes; expected 13")
    width, height, bits, colour = struct.unpack(">IIBB", header[:10])
    if bits not in _BITS.get(colour, ()):
        raise HeaderError(f"its colour type {colour} with {bits} bits does not exist")
    return Claim((width, height), _CHANNELS[colour], bits, compressed=True)
