"""Sections of any type of number as gray of 8 or 16 bits, as PNG stores it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundle.data.sections import Sections


def gray_reader(images: Sections) -> Callable[[int], NDArray[Any]]:
    """Return what reads a section by its number, unchanged where the file's values fit.

    Args:
        images: the sections of one file. What does not fit into 16 bits without sign (floating point, negative values)
            is scaled, the percentiles 0.1 to 99.9 of the whole file to the whole range.

    Returns:
        Reads (X,Y), uint8 or uint16.
    """
    if images.dtype in (np.uint8, np.uint16):
        return images.read
    whole = _to_gray(np.stack(list(images), axis=2))  # one scale for all
    return lambda number: whole[..., number]


def _to_gray(image: NDArray[Any]) -> NDArray[Any]:
    if np.issubdtype(image.dtype, np.integer) and image.min() >= 0 and image.max() <= 65535:
        return image.astype(np.uint8 if image.dtype.itemsize == 1 else np.uint16)
    low, high = np.percentile(image, (0.1, 99.9))
    gray: NDArray[np.uint16] = np.rint(np.clip((image - low) / ((high - low) or 1), 0, 1) * 65535).astype(np.uint16)
    return gray
