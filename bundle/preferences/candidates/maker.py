"""Candidate masks of one image that really differ, for annotators to choose from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from bundle.channels import clicks_of, em_of, prompted
from bundle.errors import SettingError
from bundle.inferers.prompted_sliding_window import PromptedSlidingWindowInferer
from bundle.networks.promptable_segmenter import PromptableSegmenter
from bundle.preferences.candidates.comparison import most_different
from bundle.preferences.candidates.variants import Original, Variant, mask_of, probability_of

CURRENT = "as it is"
"""How the first candidate is made: the network's own mask, which is always among them."""


class CandidateMaker:
    """Make K masks of an image that differ (ours).

    How the authors made theirs is not known. Candidate 0 is the network's mask without prompts at threshold 0.5. Each
    variant makes further masks by changing one thing. Of these the next candidate is always the one whose Jaccard
    distance to the nearest candidate so far is largest. Copies are left out, so there may be fewer than K.

    Args:
        inferer: sliding window.
        variants: ways of making masks, see :mod:`bundle.preferences.candidates.variants`. The order matters: they draw
            random numbers one after another, and of masks that differ equally the first is taken.
        count: K, at least 2.
        min_distance: smallest Jaccard distance to the other candidates, in [0,1).

    Raises:
        SettingError: when ``count`` is out of range.
    """

    def __init__(
        self,
        inferer: PromptedSlidingWindowInferer,
        variants: Sequence[Variant],
        count: int = 8,
        min_distance: float = 0.01,
    ) -> None:
        if count < 2:
            raise SettingError(f"count of candidates must be at least 2, got {count}")
        self.inferer = inferer
        self.variants = tuple(variants)
        self.count = count
        self.min_distance = min_distance

    @torch.no_grad()
    def __call__(
        self,
        policy: PromptableSegmenter,
        others: Mapping[str, PromptableSegmenter],
        image: torch.Tensor,
        key: str = "",
    ) -> tuple[np.ndarray, list[str], np.ndarray]:
        """Make the candidates of an image.

        Args:
            policy: makes candidate 0, which is varied.
            others: networks that give one mask each, by name, such as ``reference``; may be empty.
            image: (3,X,Y) on the networks' device, with the given clicks.
            key: of the random numbers, such as the image's name.

        Returns:
            Masks (K,X,Y) bool, how each was made, and the policy's foreground probability (X,Y).
        """
        modes = {network: network.training for network in (policy, *others.values())}
        try:
            for network in modes:
                network.eval()
            original = self.original(policy, others, image.unsqueeze(0), key)
            pool = [(CURRENT, mask_of(original.pred)), *(made for vary in self.variants for made in vary(original))]
        finally:
            for network, mode in modes.items():
                network.train(mode)
        names, masks = zip(*pool, strict=True)
        chosen = most_different(np.stack(masks), self.count, self.min_distance)
        return np.stack([masks[i] for i in chosen]), [names[i] for i in chosen], probability_of(original.pred)

    def original(
        self, policy: PromptableSegmenter, others: Mapping[str, PromptableSegmenter], image: torch.Tensor, key: str
    ) -> Original:
        """What the variants start from, for an image (1,3,X,Y)."""
        bare = prompted(em_of(image), torch.zeros_like(clicks_of(image)))
        pred: torch.Tensor = self.inferer(bare, policy)
        seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big")  # within torch's range of seeds
        random = torch.Generator().manual_seed(seed)
        return Original(image, bare, pred, policy, dict(others), self.inferer, random)
