"""The header of a NIfTI file, plain or compressed."""

from __future__ import annotations

import gzip
import struct
import zlib
from math import isfinite
from typing import BinaryIO

from .claim import Claim, HeaderError, check_claim

_BITS = {2: 8, 256: 8, 4: 16, 512: 16, 8: 32, 768: 32, 16: 32, 64: 64, 1024: 64, 1280: 64}
"""Bits of a gray sample by its data type code."""
_FARTHEST = 1 << 24
"""Largest offset of the pixels: header extensions are texts of a few kilobytes."""


def read_nifti(file: BinaryIO, size: int, compressed: bool) -> Claim:
    """Check a NIfTI header and the extensions behind it.

    Args:
        file: at its beginning.
        size: of the file in bytes.
        compressed: whether the file is ``.nii.gz``. Only the header is decompressed.

    Raises:
        HeaderError: what is wrong.
    """
    try:
        content: BinaryIO = gzip.GzipFile(fileobj=file) if compressed else file  # type: ignore[assignment]  # is read alike
        order, version, header = _header(content)
        claim, offset = _claim(order, version, header, compressed)
        _check_extensions(content, order, len(header), offset)
    except (OSError, EOFError, zlib.error) as error:
        raise HeaderError(f"it cannot be decompressed: {error}") from None
    check_claim(claim, size if compressed else size - offset)
    return claim


def _header(content: BinaryIO) -> tuple[str, int, bytes]:
    """Byte order, version and the header's bytes."""
    start = content.read(4)
    for order in "<>":
        for version, length in ((1, 348), (2, 540)):
            if start == struct.pack(order + "i", length):
                header = start + content.read(length - 4)
                if len(header) < length:
                    raise HeaderError("it is truncated in its header")
                return order, version, header
    raise HeaderError("its content is not NIfTI")


def _claim(order: str, version: int, header: bytes, compressed: bool) -> tuple[Claim, int]:
    if version == 1:
        dim = struct.unpack_from(order + "8h", header, 40)
        datatype, bits = struct.unpack_from(order + "2h", header, 70)
        pixdim = struct.unpack_from(order + "8f", header, 76)
        (offset,) = struct.unpack_from(order + "f", header, 108)
        slope, inter = struct.unpack_from(order + "2f", header, 112)
        geometry = struct.unpack_from(order + "18f", header, 256)
        magic = header[344:348]
    else:
        magic = header[4:8]
        datatype, bits = struct.unpack_from(order + "2h", header, 12)
        dim = struct.unpack_from(order + "8q", header, 16)
        pixdim = struct.unpack_from(order + "8d", header, 104)
        (offset,) = struct.unpack_from(order + "q", header, 168)
        slope, inter = struct.unpack_from(order + "2d", header, 176)
        geometry = struct.unpack_from(order + "18d", header, 352)
    if magic != b"n+%d\0" % version:
        raise HeaderError("its pixels lie in another file; save it as one .nii or .nii.gz")
    if not 1 <= dim[0] <= 7 or min(dim[1 : dim[0] + 1]) < 1 or any(n != 1 for n in dim[4 : dim[0] + 1]):
        raise HeaderError(f"its dim is {dim}; expected a 2D image or a 3D stack of sections")
    if _BITS.get(datatype) != bits:
        raise HeaderError(f"its datatype is {datatype} of {bits} bits; expected gray integers or floating point")
    if not (isfinite(offset) and offset == int(offset) and len(header) <= offset <= _FARTHEST):
        raise HeaderError(f"its pixels begin at byte {offset}; expected {len(header) + 4} to {_FARTHEST}")
    if not all(map(isfinite, (*pixdim[: dim[0] + 1], *geometry))):
        raise HeaderError("its pixel sizes or orientation are not finite")
    if slope != 0 and isfinite(slope) != isfinite(inter):
        raise HeaderError(f"its values are scaled by {slope} and {inter}; expected finite numbers")
    return Claim(dim[1 : dim[0] + 1], 1, bits, compressed), int(offset)


def _check_extensions(content: BinaryIO, order: str, at: int, offset: int) -> None:
    """Refuse header extensions that do not end where the pixels begin."""
    flag = content.read(min(4, offset - at))
    at += 4
    while flag[:1] not in (b"", b"\0") and at + 16 <= offset:
        start = content.read(8)
        if len(start) < 8:
            raise HeaderError("it is truncated in a header extension")
        (length,) = struct.unpack_from(order + "i", start)
        if length < 16 or length % 16 or at + length > offset:
            raise HeaderError(f"a header extension claims {length} bytes at byte {at}")
        content.seek(length - 8, 1)
        at += length
