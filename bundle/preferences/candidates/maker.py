"""Candidate masks of one image that really differ, for annotators to choose from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from bundle.inferers.prompted_sliding_window import PromptedSlidingWindowInferer, most_clicks
from bundle.networks.prompt_encoder import clicks_to_points
from bundle.networks.promptable_segmenter import PromptableSegmenter
from bundle.preferences.candidates.comparison import most_different
from bundle.preferences.candidates.contour_evolution import evolve_mask
from bundle.self_training.pseudo_labels import density_peaks

CURRENT = "as it is"
"""How the first candidate is made: the network's own mask, which is always among them."""


class CandidateMaker:
    """Make K masks of an image: other thresholds, prompts, gray values, sizes, turns, features, contours (ours).

    How the authors made theirs is not known. A pool is made by varying one thing at a time; candidate 0 is the
    network's mask without prompts at threshold 0.5, and the others are chosen one after another, each the one whose
    Jaccard distance to the nearest chosen one is largest. Copies are never chosen, so there may be fewer than K.

    Args:
        inferer: sliding window.
        count: K, at least 2.
        thresholds: of the foreground probability, each in (0,1).
        brightness: offsets of the normalised EM, in standard deviations.
        gamma: exponents of its gray values, 1 for no change.
        zoom: factors of its size.
        noise: standard deviation of noise added to it, 0 for none.
        dropout: share of the embedding's channels that are dropped, 0 for none.
        turns: whether to average over four rotations.
        contour_reach: how far the network's mask is evolved to the edges of the image, in pixels, see
            :func:`bundle.preferences.candidates.contour_evolution.evolve_mask`; 0 for no such candidate.
        peak_threshold: smallest density of a point that the network prompts itself with.
        peak_radius: half width of the non-maximum suppression of such points, in pixels.
        min_distance: smallest Jaccard distance to the chosen ones, in [0,1).

    Raises:
        ValueError: when ``count`` or a threshold is out of range.
    """

    def __init__(
        self,
        inferer: PromptedSlidingWindowInferer,
        count: int = 8,
        thresholds: Sequence[float] = (0.1, 0.3, 0.7, 0.9),
        brightness: Sequence[float] = (-0.8, -0.4, 0.4, 0.8),
        gamma: Sequence[float] = (0.6, 1.6),
        zoom: Sequence[float] = (0.75, 1.3),
        noise: float = 0.3,
        dropout: float = 0.2,
        turns: bool = True,
        contour_reach: float = 4.0,
        peak_threshold: float = 0.5,
        peak_radius: int = 4,
        min_distance: float = 0.01,
    ) -> None:
        if count < 2:
            raise ValueError(f"count of candidates must be at least 2, got {count}")
        if not all(0 < t < 1 for t in thresholds):
            raise ValueError(f"thresholds of candidates must be in (0, 1), got {list(thresholds)}")
        self.inferer = inferer
        self.count = count
        self.thresholds = tuple(thresholds)
        self.brightness = tuple(brightness)
        self.gamma = tuple(gamma)
        self.zoom = tuple(zoom)
        self.noise = noise
        self.dropout = dropout
        self.turns = turns
        self.contour_reach = contour_reach
        self.peak_threshold = peak_threshold
        self.peak_radius = peak_radius
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
            policy: makes candidate 0 and all variants.
            others: of which only their own mask is taken, by name, such as ``reference``; may be empty.
            image: (3,X,Y) on the networks' device, with the given clicks.
            key: of the random numbers, such as the image's name.

        Returns:
            Masks (K,X,Y) bool, how each was made, and the policy's foreground probability (X,Y).
        """
        modes = {network: network.training for network in (policy, *others.values())}
        try:
            for network in modes:
                network.eval()
            pool = list(self.variants(policy, others, image.unsqueeze(0), key))
        finally:
            for network, mode in modes.items():
                network.train(mode)
        names, probabilities, cuts = zip(*pool, strict=True)
        masks = [p > cut for p, cut in zip(probabilities, cuts, strict=True)]
        if self.contour_reach > 0:
            names = (*names, "evolved contour")
            masks.append(evolve_mask(image[0].cpu().numpy(), masks[0], reach=self.contour_reach))
        chosen = most_different(np.stack(masks), self.count, self.min_distance)
        return np.stack([masks[i] for i in chosen]), [names[i] for i in chosen], probabilities[0]

    def variants(
        self, network: PromptableSegmenter, others: Mapping[str, PromptableSegmenter], image: torch.Tensor, key: str
    ) -> Iterator[tuple[str, np.ndarray, float]]:
        """Name, probability (X,Y) and threshold of each variant of an image (1,3,X,Y)."""
        random = torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big"))
        bare = torch.cat((image[:, :1], torch.zeros_like(image[:, 1:])), dim=1)
        pred: Any = self.inferer(bare, network)
        yield CURRENT, probability_of(pred), 0.5
        for threshold in self.thresholds:
            yield f"threshold {threshold:g}", probability_of(pred), threshold
        for name, changed in (*self._other_photometry(bare, random), *self._other_prompts(image, pred, random)):
            yield name, probability_of(self.inferer(changed, network)), 0.5
        for factor in self.zoom:
            zoomed = F.interpolate(bare, scale_factor=factor, mode="bilinear", align_corners=False)
            back = F.interpolate(self.inferer(zoomed, network), bare.shape[2:], mode="bilinear", align_corners=False)
            yield f"zoom {factor:g}", probability_of(back), 0.5
        if self.dropout > 0:
            dropped = DroppedFeatures(network, self.dropout, random)
            yield f"dropout {self.dropout:g}", probability_of(self.inferer(bare, dropped)), 0.5
        if self.turns:
            turned = [torch.rot90(self.inferer(torch.rot90(bare, k, (2, 3)), network), -k, (2, 3)) for k in (1, 2, 3)]
            yield "mean of four turns", probability_of(torch.stack([pred, *turned]).mean(dim=0)), 0.5
        for name, other in others.items():
            yield name, probability_of(self.inferer(bare, other)), 0.5

    def _other_photometry(self, bare: torch.Tensor, random: torch.Generator) -> Iterator[tuple[str, torch.Tensor]]:
        em, clicks = bare[:, :1], bare[:, 1:]
        for offset in self.brightness:
            yield f"brightness {offset:+g}", torch.cat((em + offset, clicks), dim=1)
        low, high = em.amin(), em.amax()
        for exponent in self.gamma:
            bent = ((em - low) / (high - low).clamp(min=1e-6)) ** exponent
            bent = (bent - bent.mean()) / bent.std().clamp(min=1e-6)
            yield f"gamma {exponent:g}", torch.cat((bent, clicks), dim=1)
        if self.noise > 0:
            noise = self.noise * torch.randn(em.shape, generator=random).to(em)
            yield f"noise {self.noise:g}", torch.cat((em + noise, clicks), dim=1)

    def _other_prompts(
        self, image: torch.Tensor, pred: torch.Tensor, random: torch.Generator
    ) -> Iterator[tuple[str, torch.Tensor]]:
        em, given = image[:, :1], image[:, 1:]
        if given.any():
            yield "given clicks", image
            half = given * (torch.rand(given.shape, generator=random) < 0.5).to(given)
            yield "half of the given clicks", torch.cat((em, half), dim=1)
        peaks = density_peaks(pred[:, 1:], self.peak_threshold, self.peak_radius).to(given)
        clicks = torch.cat((torch.maximum(given[:, :1], peaks), given[:, 1:]), dim=1)
        if peaks.any() and most_clicks(clicks, self.inferer.window) <= self.inferer.max_points:
            yield "clicks at density peaks", torch.cat((em, clicks), dim=1)


class DroppedFeatures:
    """A network whose embedding lacks some channels, the same ones for all windows.

    Args:
        network: the network.
        share: of the channels to drop, in [0,1).
        random: where they are drawn from.
    """

    def __init__(self, network: PromptableSegmenter, share: float, random: torch.Generator) -> None:
        self.network = network
        self.stride = network.stride
        self.factor = (torch.rand(network.image_encoder.embed_dim, 1, 1, generator=random) >= share) / (1 - share)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Segment (B,3,H,W) to (B,2,H,W)."""
        embedding, fine = self.network.encode(x[:, :1])
        points = clicks_to_points(x[:, 1:3], self.network.max_points)
        return self.network.decode(embedding * self.factor.to(embedding), fine, *points)


def probability_of(pred: Any) -> np.ndarray:
    """Foreground probability (X,Y) float32 of a prediction (1,2,X,Y)."""
    return pred[0, 0].float().sigmoid().cpu().numpy()
