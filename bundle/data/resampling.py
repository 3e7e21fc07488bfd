"""Images, masks and points from one pixel size to another; training and inference resample alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.transform import resize

from bundle.data.image_headers.claim import SECTION_SAMPLES
from bundle.errors import DataError


def resampled_size(size: Sequence[int], scale: float) -> tuple[int, int]:
    """Size of an image after resampling.

    Args:
        size: (width, height) in pixels.
        scale: pixel size before, divided by that afterwards; 2 doubles both sides.

    Returns:
        (width, height) in pixels, at least 1.

    Raises:
        DataError: it would be larger than any image that is read.
    """
    width, height = (max(1, round(pixels * scale)) for pixels in size)
    if width * height > SECTION_SAMPLES:
        raise DataError(
            f"resampled by {scale:g}, {size[0]} x {size[1]} pixels become {width} x {height}, of which at most "
            f"{SECTION_SAMPLES} are worked on; check the pixel sizes, or cut the image into parts"
        )
    return width, height


def resampled(section: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Resample one section, linearly and without aliasing.

    Args:
        section: array (X,Y), of any real type.
        size: (X, Y) of the result.

    Returns:
        Array of this size, the type kept; of whole numbers rounded.
    """
    if section.shape == size:
        return section
    values: NDArray[np.float32] = resize(section.astype(np.float32), size, order=1, anti_aliasing=True)
    return (np.rint(values) if np.issubdtype(section.dtype, np.integer) else values).astype(section.dtype)


def resampled_points(
    points: Sequence[Sequence[float]], size: Sequence[int], new_size: Sequence[int]
) -> list[list[int]]:
    """Pixels of a resampled image that hold the centres of pixels of the image before.

    Args:
        points: (x, y) in pixels of an image of ``size``; the pixel that holds the position counts.
        size: (width, height) before.
        new_size: (width, height) afterwards.
    """
    return [[int((int(v) + 0.5) * new / old) for v, new, old in zip(p, new_size, size, strict=True)] for p in points]
