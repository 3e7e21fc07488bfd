"""The header of an MRC file."""

from __future__ import annotations

import struct
from typing import BinaryIO

from .claim import Claim, HeaderError, check_claim

_HEADER = 1024
_MODES = {0: 8, 1: 16, 2: 32, 6: 16, 12: 16}
"""Bits of a pixel by mode: int8, int16, float32, uint16, float16."""
_ORDERS = {b"\x44\x44": "<", b"\x44\x41": "<", b"\x11\x11": ">"}
"""Machine stamps."""
_AXES = ((1, 2, 3), (0, 0, 0))
"""Columns, rows and sections along x, y and z; very old files do not say."""


def read_mrc(file: BinaryIO, size: int) -> Claim:
    """Check the header of an MRC file, and that all its pixels lie in the file.

    Args:
        file: at its beginning.
        size: of the file in bytes.

    Raises:
        HeaderError: what is wrong.
    """
    header = file.read(_HEADER)
    order = _ORDERS.get(header[212:214])
    if len(header) < _HEADER or header[208:212] != b"MAP " or order is None:
        raise HeaderError("its content is not MRC: 'MAP ' and a machine stamp are expected at byte 208")
    columns, rows, sections, mode = struct.unpack_from(order + "4i", header)
    axes, (extended,) = struct.unpack_from(order + "3i", header, 64), struct.unpack_from(order + "i", header, 92)
    if mode not in _MODES:
        raise HeaderError(f"its mode {mode} is not read; save it as bytes, 16-bit integers or real numbers")
    if axes not in _AXES:
        raise HeaderError(f"its axes are in the order {axes}; expected columns, rows and sections along x, y and z")
    if not 0 <= extended <= size - _HEADER:
        raise HeaderError(f"its extended header has {extended} bytes, but the file {size}; it is truncated")
    shape = (columns, rows, sections) if sections != 1 else (columns, rows)
    claim = Claim(shape, 1, _MODES[mode], compressed=False)
    check_claim(claim, size - _HEADER - extended)
    return claim
