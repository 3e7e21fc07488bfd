"""Training items of stage 1 from images with clicks or masks that people made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bundle.data.domain_folder import check_crowding
from bundle.data.image_files import read_image, read_section_header
from bundle.data.points import Clicks, check_inside
from bundle.data.simulated_clicks import click_instances
from bundle.errors import DataError
from bundle.keys import COMPLETE, IMAGE, LABEL, POINT_LABELS, POINTS


def annotated_items(
    images: Sequence[str],
    labels: Mapping[str, str],
    clicks: Mapping[str, Clicks],
    window: int,
    max_points: int,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """List the target items, and the images whose masks are learnt from.

    An image with a mask becomes a target item with one click in every instance, marked as complete; clicks made in it
    are not used. Any other image becomes a target item with the clicks that were made in it, if any.

    Args:
        images: paths of all images.
        labels: path of the mask of each image that has one, anything but 0 is foreground.
        clicks: clicks of each image that has any.
        window: side of the largest crop in pixels.
        max_points: largest number of clicks in one crop.

    Returns:
        Target items as :func:`bundle.data.load_domain` gives them, without labels; and items of ``image`` and
        ``label``, one for each mask.

    Raises:
        DataError: a file cannot be read or is no single section, a mask has not the size of its image, a click lies
            outside of its image, or too many lie in one crop.
    """
    targets = []
    for image in images:
        size = _section_size(image)
        if image in labels:
            if _section_size(labels[image]) != size:
                raise DataError(
                    f"{labels[image]}: is {_section_size(labels[image])} pixels (width, height), its image is {size}"
                )
            points = click_instances(read_image(labels[image])[..., 0], np.random.default_rng(0))
            given = Clicks(points, [1] * len(points))
        else:
            given = clicks.get(image, Clicks([], []))
            check_inside("clicks", image, given.points, size)
        targets.append({IMAGE: image, POINTS: given.points, POINT_LABELS: given.labels, COMPLETE: image in labels})
    check_crowding(targets, window, max_points)
    return targets, [{IMAGE: image, LABEL: labels[image]} for image in images if image in labels]


def _section_size(path: str) -> tuple[int, int]:
    return read_section_header(path).size
