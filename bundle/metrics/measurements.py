"""Sizes, shapes and places of instances, in the units that people report."""

from __future__ import annotations

import numpy as np
import pandas as pd
from skimage.measure import regionprops_table

from bundle.errors import SettingError

COLUMNS = (
    "image",
    "instance",
    "area_um2",
    "perimeter_um",
    "major_axis_um",
    "minor_axis_um",
    "eccentricity",
    "mean_gray",
    "centroid_x_nm",
    "centroid_y_nm",
    "touches_border",
)
"""Of the table that :func:`measure_instances` makes."""


def measure_instances(instances: np.ndarray, gray: np.ndarray, pixel_size: float, image: str = "") -> pd.DataFrame:
    """Measure every instance of an image.

    Args:
        instances: instance numbers (X,Y), 0 background.
        gray: (X,Y), the image as its file has it, of any type.
        pixel_size: nanometres; NaN if it is not known, and so are lengths and areas then.
        image: name of the image, repeated in every row.

    Returns:
        A row for each instance, none if there is none, with `COLUMNS`: ``instance`` is its number; the perimeter is
        Crofton's in four directions; the axes are those of the ellipse of the same second moments, and
        ``eccentricity`` is this ellipse's, 0 for a circle, towards 1 for a line; ``mean_gray`` is the mean of
        ``gray``; the centroid counts from the outer corner of the first pixel; ``touches_border`` is 1 for an
        instance with a pixel in the first or last row or column, whose other numbers are of the part that is seen.

    Raises:
        SettingError: if the pixel size is not positive.
        ValueError: if the two arrays differ in shape.
    """
    if pixel_size <= 0:
        raise SettingError(f"pixel_size is {pixel_size}; give the edge of a pixel in nanometres")
    if instances.shape != gray.shape or instances.ndim != 2:
        raise ValueError(f"instances have shape {instances.shape} and the image {gray.shape}, expected one (X,Y)")
    found = regionprops_table(
        instances,
        intensity_image=gray,
        properties=(
            "label",
            "area",
            "perimeter_crofton",
            "axis_major_length",
            "axis_minor_length",
            "eccentricity",
            "intensity_mean",
            "centroid",
            "bbox",
        ),
    )
    um = pixel_size / 1000
    ends = np.array(instances.shape)
    low = np.stack([found["bbox-0"], found["bbox-1"]], axis=1)
    high = np.stack([found["bbox-2"], found["bbox-3"]], axis=1)
    table = pd.DataFrame(
        {
            "instance": found["label"],
            "area_um2": found["area"] * um**2,
            "perimeter_um": found["perimeter_crofton"] * um,
            "major_axis_um": found["axis_major_length"] * um,
            "minor_axis_um": found["axis_minor_length"] * um,
            "eccentricity": found["eccentricity"],
            "mean_gray": found["intensity_mean"],
            "centroid_x_nm": (found["centroid-0"] + 0.5) * pixel_size,
            "centroid_y_nm": (found["centroid-1"] + 0.5) * pixel_size,
            "touches_border": ((low == 0) | (high == ends)).any(axis=1).astype(int),
        }
    )
    table.insert(0, "image", image)
    return table
