"""What the header of an image file claims, and the limits that a claim must keep."""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import NamedTuple

SECTION_SAMPLES = 2**30
"""Largest section in bytes: 32768 x 32768 gray pixels. Processing takes about eight times as much memory."""
FILE_SAMPLES = 2**32
"""Largest file in bytes: 1024 sections of 2048 x 2048."""
DENSE = 200
"""Electron micrographs compress 1.2 to 4 : 1, masks up to 200 : 1, and only files made to do harm much more."""
SHARE = 16
"""A file compressed more than `DENSE` : 1 may hold only this fraction of the limits: a section of 8192 x 8192."""
EXPANSION = 1500
"""Deflate reaches 1032 : 1 and LZW 1365 : 1; a header that claims more lies."""
LOSSY = "its blocks and rings look like structures; save the image as PNG or TIFF from the microscope's own file"
"""Why JPEG is not read."""
LIMIT_VARIABLE = "PREFER_DAS_MAX_SAMPLES"


class HeaderError(ValueError):
    """A header is malformed, contradicts its file, or needs a feature that is not read. It does not name the file."""


class Claim(NamedTuple):
    """Size and storage of the pixels, as a header states them.

    Attributes:
        shape: lengths of the axes along which there are pixels, x first.
        channels: samples of a pixel.
        sample_bits: bits of a sample.
        compressed: whether the bytes in the file are fewer than the pixels take.
        data_file: the file beside the header that holds the pixels, or None where they are in one file.
    """

    shape: tuple[int, ...]
    channels: int
    sample_bits: int
    compressed: bool
    data_file: Path | None = None

    @property
    def samples(self) -> int:
        """Number of all samples."""
        return prod(self.shape) * self.channels

    @property
    def size(self) -> int:
        """Bytes of all samples, rows not padded."""
        return (self.samples * self.sample_bits + 7) // 8


def check_claim(claim: Claim, stored: int) -> None:
    """Refuse pixels that the file cannot hold, or that would take the machine's memory.

    Args:
        claim: what the header says.
        stored: bytes in the file for the pixels.

    Raises:
        HeaderError: names the two numbers that contradict each other.
    """
    if not claim.shape or min(claim.shape) < 1:
        raise HeaderError(f"its shape is {claim.shape}; expected lengths of 1 and more")
    if stored < (-(-claim.size // EXPANSION) if claim.compressed else claim.size):
        raise HeaderError(f"it claims {claim.size} bytes of pixels, but the file holds {stored}; it is truncated")
    section, file = _limits(claim, stored)
    for number, most, what in (
        (prod(claim.shape[:2]) * claim.channels, section, "section"),
        (claim.samples, file, "file"),
    ):
        if number > most:
            dense = f", compressed {claim.size // stored} : 1" if most < SECTION_SAMPLES else ""
            raise HeaderError(
                f"a {what} of {number} samples{dense}, of which at most {most} are read; cut it into parts, or set "
                f"{LIMIT_VARIABLE}={number} where memory allows"
            )


def _limits(claim: Claim, stored: int) -> tuple[int, int]:
    """Samples allowed in a section and in the file."""
    given = os.environ.get(LIMIT_VARIABLE, "")
    if given and not given.isdecimal():
        raise HeaderError(f"{LIMIT_VARIABLE} is {given!r}; expected a whole number of samples")
    share = SHARE if claim.compressed and claim.size > DENSE * stored else 1
    return max(SECTION_SAMPLES // share, int(given or 0)), max(FILE_SAMPLES // share, int(given or 0))


def whole_numbers(text: str, count: int, what: str) -> tuple[int, ...]:
    """Read exactly ``count`` decimal numbers of at most 18 digits that are separated by blanks.

    Raises:
        HeaderError: there are more, fewer or others.
    """
    parts = text.split()
    if len(parts) != count or not all(_is_decimal(part) for part in parts):
        raise HeaderError(f"{what} is {text[:40]!r}; expected {count} whole number{'s' if count > 1 else ''}")
    return tuple(map(int, parts))


def one_of(value: str, allowed: Sequence[str], what: str) -> str:
    """Return ``value``, which must be in ``allowed``.

    Raises:
        HeaderError: it is not in ``allowed``.
    """
    if value not in allowed:
        raise HeaderError(f"{what} is {value[:40]!r}; expected {', '.join(allowed)}")
    return value


def _is_decimal(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 18
