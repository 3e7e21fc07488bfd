"""Simulated clicks: one at a random pixel of each instance, for a share of all instances."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label, regionprops

from bundle.data.domain_folder import SPLITS
from bundle.data.points import Clicks, PointsFile


def click_instances(mask: NDArray[Any], random: np.random.Generator) -> list[list[int]]:
    """Click every instance once.

    Args:
        mask: array (X,Y), foreground where it is not 0; instances are its 8-connected components.
        random: source of randomness.

    Returns:
        [x, y] of a uniformly drawn pixel of each instance, in pixels.
    """
    regions = regionprops(label(mask != 0, connectivity=2))
    return [random.choice(region.coords).tolist() for region in regions]


def share_of(
    clicks: Mapping[str, Sequence[list[int]]], share: float, seed: int | Sequence[int]
) -> dict[str, list[list[int]]]:
    """Keep the clicks of a random share of all instances.

    The instances are shuffled by the seed alone and the first ones are kept, so a smaller share is a subset of a larger
    one.

    Args:
        clicks: one click for each instance, by image.
        share: in (0,1]; rounded to the nearest number of instances, at least one of them.
        seed: of the order.

    Returns:
        The clicks kept, for all images of ``clicks``, in the order of ``clicks``.
    """
    total = sum(map(len, clicks.values()))
    count = min(total, max(1, math.floor(share * total + 0.5)))
    kept = np.zeros(total, dtype=bool)
    kept[np.random.default_rng(seed).permutation(total)[:count]] = True
    chosen = iter(kept.tolist())
    return {image: [point for point in points if next(chosen)] for image, points in clicks.items()}


def points_files(
    clicks: Mapping[str, Mapping[str, list[list[int]]]], shares: Sequence[float], seed: int
) -> dict[str, PointsFile]:
    """Draw shares of the clicks, of each split by itself.

    Args:
        clicks: a click in every instance, for each split that has masks, by image.
        shares: of the instances, in (0,1].
        seed: of the draws.

    Returns:
        Content of the points file of each share, by its name, such as ``points_15.json``; none if no image has a mask.
    """
    if not clicks:
        return {}
    return {
        f"points_{share * 100:g}.json": PointsFile(
            {
                image: Clicks(points, [1] * len(points))
                for number, split in enumerate(SPLITS)
                for image, points in share_of(clicks.get(split, {}), share, [seed, number, 1]).items()
            },
            complete=share >= 1,
        )
        for share in shares
    }
