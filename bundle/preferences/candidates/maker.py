"""Candidate masks of one image that really differ, for annotators to choose from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from bundle.inferers.prompted_sliding_window import PromptedSlidingWindowInferer
from bundle.networks.promptable_segmenter import PromptableSegmenter
from bundle.preferences.candidates.variants import Original, Variant, mask_of, probability_of

CURRENT = "as it is"
"""How the first candidate is made: the network's own mask, which is always among them."""


class CandidateMaker:
    """Make K masks of an image that differ (ours).

    How the authors made theirs is not known. Each of the variants makes masks by varying one thing; candidate 0 is the
    network's mask without prompts at threshold 0.5, and the others are chosen one after another, each the one whose
    Jaccard distance to the nearest chosen one is largest. Copies are never chosen, so there may be fewer than K.

    Args:
        inferer: sliding window.
        variants: ways of making masks, see :mod:`bundle.preferences.candidates.variants`. Their order is that in which
            they draw random numbers, and of masks that differ equally the first is chosen.
        count: K, at least 2.
        min_distance: smallest Jaccard distance to the chosen ones, in [0,1).

    Raises:
        ValueError: when ``count`` is out of range.
    """

    def __init__(
        self,
        inferer: PromptedSlidingWindowInferer,
        variants: Sequence[Variant],
        count: int = 8,
        min_distance: float = 0.01,
    ) -> None:
        if count < 2:
            raise ValueError(f"count of candidates must be at least 2, got {count}")
        self.inferer = inferer
        self.variants = tuple(variants)
        self.count = count
        self.min_distance = min_distance

    @torch.no_grad()
    def __call__(
        self, networks: Mapping[str, PromptableSegmenter], image: torch.Tensor, key: str = ""
    ) -> tuple[np.ndarray, list[str], np.ndarray]:
        """Make the candidates of an image.

        Args:
            networks: by name, such as ``policy`` and ``reference``. The first makes candidate 0 and is varied; of the
                others only their own mask is taken.
            image: (3,X,Y) on the networks' device, with the given clicks.
            key: of the random numbers, such as the image's name.

        Returns:
            Masks (K,X,Y) bool, how each was made, and the first network's foreground probability (X,Y).
        """
        modes = {network: network.training for network in networks.values()}
        try:
            for network in modes:
                network.eval()
            original = self.original(networks, image.unsqueeze(0), key)
            pool = [(CURRENT, mask_of(original.pred)), *(made for vary in self.variants for made in vary(original))]
        finally:
            for network, mode in modes.items():
                network.train(mode)
        names, masks = zip(*pool, strict=True)
        chosen = most_different(np.stack(masks), self.count, self.min_distance)
        return np.stack([masks[i] for i in chosen]), [names[i] for i in chosen], probability_of(original.pred)

    def original(self, networks: Mapping[str, PromptableSegmenter], image: torch.Tensor, key: str) -> Original:
        """What the variants start from, for an image (1,3,X,Y)."""
        (_, network), *others = networks.items()
        bare = torch.cat((image[:, :1], torch.zeros_like(image[:, 1:])), dim=1)
        pred: torch.Tensor = self.inferer(bare, network)
        seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big")
        random = torch.Generator().manual_seed(seed)
        return Original(image, bare, pred, network, dict(others), self.inferer, random)


def jaccard_distances(masks: np.ndarray) -> np.ndarray:
    """1 - IoU of all pairs of masks (K,X,Y) bool, (K,K) float; two empty masks are equal."""
    flat = masks.reshape(len(masks), -1).astype(np.float32)
    both = flat @ flat.T
    size = both.diagonal()
    union = size[:, None] + size[None] - both
    return np.where(union > 0, 1 - both / np.maximum(union, 1), 0.0)


def most_different(masks: np.ndarray, count: int, min_distance: float = 0.0) -> list[int]:
    """Choose masks one after another, each the farthest from those chosen; the first is always chosen.

    Args:
        masks: (N,X,Y) bool.
        count: how many at most.
        min_distance: smallest Jaccard distance to those chosen; copies are never chosen.

    Returns:
        Their numbers, in the order of choice.
    """
    distances = jaccard_distances(masks)
    chosen, nearest = [0], distances[0]
    while len(chosen) < count and nearest.max() > min_distance:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, distances[chosen[-1]])
    return chosen


def diversity(masks: np.ndarray) -> float:
    """Mean Jaccard distance of all pairs of masks (K,X,Y), in [0,1]; 0 for a single one."""
    count = len(masks)
    return float(jaccard_distances(masks).sum() / (count * (count - 1))) if count > 1 else 0.0
