"""Outlines that QuPath saves, as masks."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon

from bundle.errors import DataError


def mask_of_outlines(path: str | Path, size: tuple[int, int], classes: Collection[str]) -> NDArray[np.uint8]:
    """Fill the outlines in a file.

    Args:
        path: ASAP's XML, positions (x, y) in pixels.
        size: (width, height) of the image; what lies outside is cut off.
        classes: names of the annotations that count, whatever their case.

    Returns:
        (X,Y), 255 inside and 0 elsewhere.

    Raises:
        DataError: it is no such file.
    """
    mask = np.zeros(size, np.uint8)
    try:
        for annotation in ElementTree.parse(path).iter("Annotation"):
            if annotation.get("Name", "").lower() in classes:
                corners = [(float(c.get("X", "")), float(c.get("Y", ""))) for c in annotation.iter("Coordinate")]
                if not np.isfinite(corners).all():
                    raise ValueError("a corner is not finite")
                xs, ys = np.array(corners).reshape(-1, 2).T
                mask[polygon(xs, ys, shape=size)] = 255
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # LookupError: an unknown encoding
        raise DataError(f"{path}: cannot be read as outlines ({error})") from None
    return mask
