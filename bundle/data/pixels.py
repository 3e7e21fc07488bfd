"""Refuses images with gray values that are not finite or too large."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from bundle.errors import DataError

LARGEST_PIXEL = 1e15
"""Largest magnitude of a gray value: above it the variance of an image overflows single precision."""


def check_finite(pixels: ArrayLike, path: str | Path) -> None:
    """Refuse an image with a value that is infinite, NaN, or too large to be normalised.

    Args:
        pixels: (X,Y,...) of any real type, on the CPU.
        path: of its file, for the message.

    Raises:
        DataError: names the file, the first such pixel and its value.
    """
    values = np.asarray(pixels)
    # Every comparison with NaN is false, so NaN counts as out of range.
    if values.size == 0 or (values.min() >= -LARGEST_PIXEL and values.max() <= LARGEST_PIXEL):
        return
    place = tuple(int(n) for n in np.argwhere(~(np.abs(values) <= LARGEST_PIXEL))[0])
    raise DataError(
        f"{path}: pixel {place[:2]} is {values[place]:g}, expected finite gray values of at most {LARGEST_PIXEL:g}; "
        "mend the image, or leave it out"
    )
