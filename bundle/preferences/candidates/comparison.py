"""Compares candidate masks of one image: where they differ, how much, and which are copies."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy import ndimage


def disputed(candidates: np.ndarray) -> np.ndarray:
    """Find where the candidates do not all agree.

    Args:
        candidates: (K,X,Y) bool.

    Returns:
        (X,Y) bool.
    """
    return np.logical_and(candidates.any(axis=0), ~candidates.all(axis=0))


def distinct(candidates: np.ndarray, region: np.ndarray) -> list[int]:
    """Leave out candidates that are copies of an earlier one in a region.

    Args:
        candidates: (K,X,Y) bool.
        region: (X,Y) bool.

    Returns:
        The numbers of the others, in order.
    """
    first: dict[bytes, int] = {}
    for number, inside in enumerate(candidates[:, region]):
        first.setdefault(inside.tobytes(), number)
    return list(first.values())


def majority(candidates: np.ndarray) -> np.ndarray:
    """Majority vote of the candidates (K,X,Y) bool, morphologically opened by a 3x3 cross; (X,Y) bool."""
    opened: np.ndarray = ndimage.binary_opening(candidates.mean(axis=0) > 0.5)
    return opened


def regional_dice(candidates: np.ndarray, truth: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Dice of candidates with a truth in a region, ``(2 |A and B| + 1) / (|A| + |B| + 1)``.

    The added pixel keeps it defined where the truth is empty: there the candidate with the fewest pixels scores best.

    Args:
        candidates: (K,X,Y) bool.
        truth: (X,Y) bool.
        region: (X,Y) bool.

    Returns:
        (K,) in (0,1].
    """
    a, b = candidates[:, region], truth[region]
    dice: np.ndarray = (2 * (a & b).sum(axis=1) + 1) / (a.sum(axis=1) + b.sum() + 1)
    return dice


def jaccard_distances(masks: np.ndarray) -> np.ndarray:
    """1 - IoU of all pairs of masks (K,X,Y) bool, (K,K) float; two empty masks are equal."""
    flat = masks.reshape(len(masks), -1).astype(np.float32)
    both = flat @ flat.T
    size = both.diagonal()
    union = size[:, None] + size[None] - both
    return np.where(union > 0, 1 - both / np.maximum(union, 1), 0.0)


def most_different(masks: np.ndarray, count: int, min_distance: float = 0.0) -> list[int]:
    """Pick masks one after another, each the farthest from those picked before; mask 0 is always first.

    Args:
        masks: (N,X,Y) bool.
        count: largest number of masks.
        min_distance: smallest Jaccard distance to those picked before; copies are never picked.

    Returns:
        Numbers of the masks, in the order in which they were picked.
    """
    distances = jaccard_distances(masks)
    chosen, nearest = [0], distances[0]
    while len(chosen) < count and nearest.max() > min_distance:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, distances[chosen[-1]])
    return chosen


def representatives(candidates: np.ndarray, region: np.ndarray, count: int) -> list[int]:
    """Pick few candidates that stand for all of them in a region: its medoids (k-medoids, by trying all choices).

    Every candidate of the region lies as near as can be, by the sum of Jaccard distances, to one that is picked; so
    whatever an annotator would choose among all, something like it is shown. Copies count once.

    Args:
        candidates: (K,X,Y) bool.
        region: (X,Y) bool.
        count: how many to pick, at least 1.

    Returns:
        Their numbers, from low to high; fewer where fewer differ. Of equally good choices that of lower numbers.
    """
    numbers = distinct(candidates, region)
    if len(numbers) <= count:
        return numbers
    distances = jaccard_distances(candidates[:, region][:, :, None])[:, numbers]
    choices = combinations(range(len(numbers)), count)
    best = min(choices, key=lambda choice: float(distances[:, choice].min(axis=1).sum()))
    return [numbers[i] for i in best]


def diversity(masks: np.ndarray) -> float:
    """Mean Jaccard distance of all pairs of masks (K,X,Y), in [0,1]; 0 for a single one."""
    count = len(masks)
    return float(jaccard_distances(masks).sum() / (count * (count - 1))) if count > 1 else 0.0
