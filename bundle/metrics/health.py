"""Do the masks look like mitochondria? A check that needs no label of the target domain.

The shapes of the predicted instances are compared with those of the source domain's masks. Different tissue has
different mitochondria, so a difference is a reason to look, not a verdict; but masks that flood the cytoplasm, break
into dust or miss most instances show at once.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp
from skimage.measure import regionprops_table

from bundle.errors import SettingError

IMAGE_FEATURES = ("instances_per_megapixel", "foreground_share")
"""Compared between images. The plain count is not, since images differ in size."""

SHAPE_FEATURES = ("area_px", "area_nm2", "equivalent_diameter_px", "eccentricity", "solidity")
"""Compared between instances; ``area_nm2`` only where the pixel size is known."""


def describe_image(instances: np.ndarray) -> dict[str, float]:
    """Count the instances of an image.

    Args:
        instances: instance numbers (H,W) or (1,H,W), 0 background.

    Returns:
        ``instances`` (how many), ``instances_per_megapixel`` and ``foreground_share`` in [0,1].
    """
    count = len(np.unique(instances[instances > 0]))
    return {
        "instances": count,
        "instances_per_megapixel": count * 1e6 / instances.size,
        "foreground_share": np.count_nonzero(instances) / instances.size,
    }


def describe_instances(instances: np.ndarray, image: str = "", pixel_size: float | None = None) -> pd.DataFrame:
    """Measure the shape of every instance of an image.

    Args:
        instances: instance numbers (H,W) or (1,H,W), 0 background.
        image: name of the image, repeated in every row.
        pixel_size: nanometres, or None if it is not known.

    Returns:
        A row for each instance, none if there is none: ``image``, ``instance``, ``area_px``, ``area_nm2`` (if the
        pixel size is given), ``equivalent_diameter_px`` (of the circle of the same area), ``eccentricity`` (of the
        ellipse of the same second moments, 0 for a circle, towards 1 for a line) and ``solidity`` (area over area of
        the convex hull, in (0,1]). An instance cut by the border of the image counts as it is.

    Raises:
        SettingError: if the pixel size is not positive.
    """
    if pixel_size is not None and pixel_size <= 0:
        raise SettingError(f"pixel_size is {pixel_size}; give the edge of a pixel in nanometres, or None if unknown.")
    properties = ("label", "area", "equivalent_diameter_area", "eccentricity", "solidity")
    columns = {"label": "instance", "area": "area_px", "equivalent_diameter_area": "equivalent_diameter_px"}
    table = regionprops_table(instances.reshape(instances.shape[-2:]), properties=properties)
    frame = pd.DataFrame(table).rename(columns=columns)
    if pixel_size is not None:
        frame.insert(2, "area_nm2", frame["area_px"] * pixel_size**2)
    frame.insert(0, "image", image)
    return frame


def compare_shapes(pred_df: pd.DataFrame, source_df: pd.DataFrame) -> pd.DataFrame:
    """Compare predictions with the source domain, feature by feature.

    Args:
        pred_df: rows of :func:`describe_instances` or :func:`describe_image` of the predictions.
        source_df: the same of the source's masks; may be empty. Where the pixel sizes differ, lengths in pixels mean
            little and ``area_nm2`` is the one to read.

    Returns:
        A row for each feature that ``pred_df`` has: ``feature``, then ``count``, ``median`` and ``iqr`` (third minus
        first quartile) of both sides with the prefixes ``pred_`` and ``source_``, and ``ks``, the two-sample
        Kolmogorov-Smirnov statistic: 0 for the same distribution, 1 where the two do not overlap. What cannot be said
        for want of rows is NaN. There is no p-value: instances of neighbouring sections are not independent.
    """
    features = [f for f in (*IMAGE_FEATURES, *SHAPE_FEATURES) if f in pred_df.columns]
    nothing = pd.Series(dtype=float)
    return pd.DataFrame([_compare(f, pred_df[f], source_df.get(f, nothing)) for f in features])


def _compare(feature: str, pred: pd.Series, source: pd.Series) -> dict[str, object]:
    ks = ks_2samp(pred, source).statistic if len(pred) and len(source) else float("nan")
    return {"feature": feature, **_summary("pred", pred), **_summary("source", source), "ks": ks}


def _summary(side: str, values: pd.Series) -> dict[str, float]:
    first, median, third = values.astype(float).quantile([0.25, 0.5, 0.75])
    return {f"{side}_count": len(values), f"{side}_median": median, f"{side}_iqr": third - first}
