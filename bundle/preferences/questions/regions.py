"""Splits an image into the regions that are asked about."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from bundle.errors import SettingError
from bundle.preferences.candidates.comparison import disputed, majority
from bundle.preferences.store.records import REGION_SPLITS

EIGHT = np.ones((3, 3), dtype=bool)


def split_regions(region_split: str, candidates: np.ndarray) -> np.ndarray:
    """Split an image; the same text and candidates always give the same regions.

    Args:
        region_split: ``image``: one region. ``grid:32``: squares of 32 pixels, smaller at the right and lower border,
            numbered row by row. ``components:3``: the connected components of the pixels on which the candidates
            disagree, where pixels count as connected with up to 3 others between them (along the axis on which they
            are further apart). ``objects:3``: the same, grown to whole objects: to all instances of the candidates'
            majority that the disagreement touches, which are one region with it; a region may hold several.
        candidates: (K,X,Y) bool.

    Returns:
        (X,Y) int32, the number of the region that holds a pixel, from 0; -1 for none.

    Raises:
        SettingError: when ``region_split`` is none of these.
    """
    if not REGION_SPLITS.fullmatch(region_split):
        raise SettingError(
            f"region_split is {region_split!r}: expected image, grid:SIZE with a SIZE of at least 1 pixel, or "
            "components:GAP or objects:GAP with a GAP of at least 0 pixels, such as grid:32 or components:3"
        )
    kind, _, number = region_split.partition(":")
    width, height = candidates.shape[1:]
    if kind == "image":
        return np.zeros((width, height), np.int32)
    if kind == "grid":
        size = int(number)
        columns, rows = np.arange(width) // size, np.arange(height) // size
        numbers: np.ndarray = (columns[:, None] + rows[None] * -(-width // size)).astype(np.int32)
        return numbers
    gap = min(int(number), max(width, height))  # a larger one changes nothing, and would take memory for its size
    # Squares of gap + 1 pixels, put on two pixels, touch if and only if at most gap pixels lie between the two.
    apart = disputed(candidates)
    reached = ndimage.maximum_filter(apart, size=gap + 1, mode="constant")
    if kind == "components":
        labels, _ = ndimage.label(reached, structure=EIGHT)
        return np.where(apart, labels - 1, -1).astype(np.int32)
    grown = touched_instances(majority(candidates), apart)
    labels, _ = ndimage.label(reached | grown, structure=EIGHT)
    return np.where(apart | grown, labels - 1, -1).astype(np.int32)


def touched_instances(mask: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Find the instances of a mask that other pixels lie on or beside.

    Args:
        mask: (X,Y) bool; its 8-connected components are the instances.
        where: (X,Y) bool.

    Returns:
        (X,Y) bool, all pixels of these instances.
    """
    instances, _ = ndimage.label(mask, structure=EIGHT)
    touched = np.unique(instances[ndimage.binary_dilation(where, structure=EIGHT)])
    return np.isin(instances, touched[touched > 0])


def region_box(region: np.ndarray) -> tuple[int, int, int, int]:
    """Return the smallest box around a region.

    Args:
        region: (X,Y) bool.

    Returns:
        (x0, y0, x1, y1) in pixels, half open.

    Raises:
        ValueError: when the region has no pixel.
    """
    x, y = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    if len(x) == 0:
        raise ValueError("a region without pixels has no box; take a region number that the split has")
    return int(x[0]), int(y[0]), int(x[-1]) + 1, int(y[-1]) + 1
