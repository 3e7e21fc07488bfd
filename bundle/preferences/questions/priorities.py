"""Priorities of questions: which regions are asked about first, and how many."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from bundle.errors import SettingError
from bundle.preferences.candidates.comparison import disputed

STRATEGIES = ("random", "disagreement", "uncertainty")


def priorities(
    strategy: str,
    candidates: np.ndarray,
    probability: np.ndarray,
    region_map: np.ndarray,
    seed: int = 0,
    key: str = "",
    min_disputed: int = 4,
) -> dict[int, float]:
    """Compute the priority of the regions of an image (ours).

    A pixel is disputed where the candidates do not all agree. A region's priority is, with ``random``, a number drawn
    from [0,1); with ``disagreement``, the sum of ``4 q (1 - q)`` over its pixels, q the share of the candidates that
    say foreground, which counts disputed pixels, each by how evenly the candidates split; with ``uncertainty``, the
    sum of ``-p log2(p) - (1 - p) log2(1 - p)`` over its disputed pixels, in bits.

    Args:
        strategy: ``random``, ``disagreement`` or ``uncertainty``.
        candidates: (K,X,Y) bool.
        probability: (X,Y) p, foreground probability of the model, in [0,1].
        region_map: (X,Y) int, see :func:`bundle.preferences.questions.regions.split_regions`.
        seed: of ``random``, from 0.
        key: names the image, so that its random numbers do not depend on the images before it.
        min_disputed: smallest number of disputed pixels in a region to be asked about, at least 1.

    Returns:
        For the number of each region with enough disputed pixels its priority, the higher the sooner it is asked.

    Raises:
        SettingError: the strategy is unknown, or ``min_disputed`` is less than 1.
    """
    if strategy not in STRATEGIES:
        raise SettingError(f"strategy is {strategy!r}: expected {', '.join(STRATEGIES[:-1])} or {STRATEGIES[-1]}")
    if min_disputed < 1:
        raise SettingError(
            f"min_disputed is {min_disputed}: expected at least 1, for there is no choice without dispute"
        )
    asked = disputed(candidates) & (region_map >= 0)
    region_of = region_map[asked]
    counts = np.bincount(region_of)
    if strategy == "random":
        values: np.ndarray = np.random.default_rng([seed, *key.encode()]).random(len(counts))
    elif strategy == "disagreement":
        q = candidates[:, asked].mean(axis=0)
        values = np.bincount(region_of, weights=4 * q * (1 - q))
    else:
        values = np.bincount(region_of, weights=_entropy(probability[asked]))
    return {int(i): float(values[i]) for i in np.flatnonzero(counts >= min_disputed)}


def spread_over_images(priorities: Sequence[float], images: Sequence[str], discount: float) -> list[float]:
    """Lower the priority of questions about an image that has more urgent ones, since they teach much the same (ours).

    Args:
        priorities: of the n questions.
        images: of each question, its image.
        discount: a question behind k more urgent ones of its image has its priority times ``discount ** k``; in (0,1],
            1 for no change.

    Returns:
        The n priorities. Within an image their order stays.

    Raises:
        SettingError: when ``discount`` is out of range.
    """
    if not 0 < discount <= 1:
        raise SettingError(f"image_discount is {discount}: expected a factor in (0, 1], 1 for no discount")
    before: Counter[str] = Counter()
    lowered = list(priorities)
    for i in sorted(range(len(lowered)), key=lambda i: -priorities[i]):
        lowered[i] = priorities[i] * discount ** before[images[i]]
        before[images[i]] += 1
    return lowered


def choose_by_budget(priorities: Sequence[float], budget: float) -> list[int]:
    """Keep the most urgent questions that a budget allows.

    Args:
        priorities: of the n questions.
        budget: share of them to keep, in (0,1].

    Returns:
        Indices of ``ceil(budget * n)`` questions, the most urgent first, the earlier of two equally urgent ones first.

    Raises:
        SettingError: when ``budget`` is out of range.
    """
    if not 0 < budget <= 1:
        raise SettingError(f"budget is {budget}: expected a share of the questions in (0, 1], such as 0.15")
    # The product of 0.1 and 30 is slightly more than 3, which must not become 4.
    count = math.ceil(budget * len(priorities) * (1 - 1e-12))
    return sorted(range(len(priorities)), key=lambda i: -priorities[i])[:count]


def _entropy(probability: np.ndarray) -> np.ndarray:
    """Entropy in bits, 0 at 0 and 1."""
    p = np.asarray(probability, dtype=np.float64)
    safe = np.clip(p, 1e-12, 1 - 1e-12)  # log2(0) is infinite, but 0 * log2(0) counts as 0
    return -p * np.log2(safe) - (1 - p) * np.log2(1 - safe)
