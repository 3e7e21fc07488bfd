"""Ways of making a candidate mask, each changing one thing (ours). A configuration lists those to use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch.nn import functional as F

from bundle.channels import background_of, clicks_of, density_of, em_of, foreground_of, logits_of, prompted
from bundle.errors import SettingError
from bundle.inferers.prompted_sliding_window import PromptedSlidingWindowInferer, most_clicks
from bundle.networks.prompt_encoder import clicks_to_points
from bundle.networks.promptable_segmenter import PromptableSegmenter
from bundle.preferences.candidates.contour_evolution import evolve_mask
from bundle.self_training.peaks import density_peaks

Network = Callable[[torch.Tensor], torch.Tensor]
"""Images (B,3,X,Y) to logits and density (B,2,X,Y)."""

Made = Iterator[tuple[str, np.ndarray]]
"""For each mask how it was made, in words, and the mask (X,Y) bool."""


@dataclass(frozen=True)
class Original:
    """Input of the variants: an image, the network, and the network's output without clicks.

    Attributes:
        image: (1,3,X,Y) float on the network's device, with the given clicks.
        bare: the same without clicks.
        pred: (1,2,X,Y) logits and density of ``bare``.
        network: the network, in evaluation mode.
        others: further networks by name.
        inferer: sliding window.
        random: generator on the CPU; the variants draw from it one after another, in their order.
    """

    image: torch.Tensor
    bare: torch.Tensor
    pred: torch.Tensor
    network: PromptableSegmenter
    others: Mapping[str, PromptableSegmenter]
    inferer: PromptedSlidingWindowInferer
    random: torch.Generator

    def segment(self, image: torch.Tensor, network: Network | None = None) -> np.ndarray:
        """Mask (X,Y) bool of an image (1,3,X,Y) by the network, or by another."""
        return mask_of(self.inferer(image, network or self.network))


class Variant(Protocol):
    """A way of making candidates."""

    def __call__(self, original: Original) -> Made:
        """Make masks; none where the variant does not apply, such as without clicks."""


@dataclass(frozen=True)
class Thresholds:
    """Threshold the foreground probability at other values than 0.5.

    Args:
        thresholds: each in (0,1).

    Raises:
        SettingError: when one is out of range.
    """

    thresholds: Sequence[float]

    def __post_init__(self) -> None:
        if not all(0 < t < 1 for t in self.thresholds):
            raise SettingError(f"thresholds of candidates must be in (0, 1), got {list(self.thresholds)}")

    def __call__(self, original: Original) -> Made:
        """One mask for each threshold."""
        for threshold in self.thresholds:
            yield f"threshold {threshold:g}", mask_of(original.pred, threshold)


@dataclass(frozen=True)
class Brightness:
    """Make the image brighter or darker.

    Args:
        offsets: of the normalised EM, in standard deviations.
    """

    offsets: Sequence[float]

    def __call__(self, original: Original) -> Made:
        """One mask for each offset."""
        for offset in self.offsets:
            yield f"brightness {offset:+g}", original.segment(with_em(original.bare, em_of(original.bare) + offset))


@dataclass(frozen=True)
class Gamma:
    """Apply a gamma curve to the gray values, and normalise them again.

    Args:
        exponents: of gray values that are scaled to [0,1]; above 0, 1 for no change.
    """

    exponents: Sequence[float]

    def __call__(self, original: Original) -> Made:
        """One mask for each exponent."""
        em = em_of(original.bare)
        low, high = em.amin(), em.amax()
        for exponent in self.exponents:
            bent = ((em - low) / (high - low).clamp(min=1e-6)) ** exponent
            bent = (bent - bent.mean()) / bent.std().clamp(min=1e-6)
            yield f"gamma {exponent:g}", original.segment(with_em(original.bare, bent))


@dataclass(frozen=True)
class Noise:
    """Add Gaussian noise to the image.

    Args:
        std: in standard deviations of the normalised EM.
    """

    std: float

    def __call__(self, original: Original) -> Made:
        """One mask."""
        em = em_of(original.bare)
        noise = self.std * torch.randn(em.shape, generator=original.random).to(em)
        yield f"noise {self.std:g}", original.segment(with_em(original.bare, em + noise))


@dataclass(frozen=True)
class GivenClicks:
    """Prompt the network with the clicks that the image has."""

    def __call__(self, original: Original) -> Made:
        """One mask, none without clicks."""
        if clicks_of(original.image).any():
            yield "given clicks", original.segment(original.image)


@dataclass(frozen=True)
class HalfOfGivenClicks:
    """Prompt the network with some of the clicks that the image has, each kept with probability 0.5."""

    def __call__(self, original: Original) -> Made:
        """One mask, none without clicks."""
        given = clicks_of(original.image)
        if given.any():
            half = given * (torch.rand(given.shape, generator=original.random) < 0.5).to(given)
            yield "half of the given clicks", original.segment(prompted(em_of(original.image), half))


@dataclass(frozen=True)
class DensityPeaks:
    """Prompt the network with the given clicks and with the peaks of the density that it predicts.

    Args:
        threshold: smallest density of a peak.
        radius: half width of the non-maximum suppression, in pixels.
    """

    threshold: float
    radius: int

    def __call__(self, original: Original) -> Made:
        """One mask, none without peaks, or with more clicks in a window than the network takes."""
        em, given = em_of(original.image), clicks_of(original.image)
        peaks = density_peaks(density_of(original.pred), self.threshold, self.radius).to(given)
        clicks = torch.cat((torch.maximum(foreground_of(given), peaks), background_of(given)), dim=1)
        if peaks.any() and most_clicks(clicks, original.inferer.window) <= original.inferer.max_points:
            yield "clicks at density peaks", original.segment(prompted(em, clicks))


@dataclass(frozen=True)
class Zoom:
    """Segment the image at another size, and bring the prediction back to its own.

    Args:
        factors: of its size, above 0.
    """

    factors: Sequence[float]

    def __call__(self, original: Original) -> Made:
        """One mask for each factor."""
        bare = original.bare
        for factor in self.factors:
            zoomed = F.interpolate(bare, scale_factor=factor, mode="bilinear", align_corners=False)
            pred = original.inferer(zoomed, original.network)
            back = F.interpolate(pred, bare.shape[2:], mode="bilinear", align_corners=False)
            yield f"zoom {factor:g}", mask_of(back)


@dataclass(frozen=True)
class Dropout:
    """Drop some channels of the embedding, the same ones for all windows.

    Args:
        share: of the channels to drop, in (0,1).
    """

    share: float

    def __call__(self, original: Original) -> Made:
        """One mask."""
        dropped = DroppedFeatures(original.network, self.share, original.random)
        yield f"dropout {self.share:g}", original.segment(original.bare, dropped)


@dataclass(frozen=True)
class Turns:
    """Average over rotations by 0, 90, 180 and 270 degrees."""

    def __call__(self, original: Original) -> Made:
        """One mask."""
        preds = [original.pred]
        for k in (1, 2, 3):
            turned = original.inferer(torch.rot90(original.bare, k, (2, 3)), original.network)
            preds.append(torch.rot90(turned, -k, (2, 3)))
        yield "mean of four turns", mask_of(torch.stack(preds).mean(dim=0))


@dataclass(frozen=True)
class OtherNetworks:
    """Ask the other networks, such as the teacher."""

    def __call__(self, original: Original) -> Made:
        """One mask for each, under its name."""
        for name, other in original.others.items():
            yield name, original.segment(original.bare, other)


@dataclass(frozen=True)
class EvolvedContour:
    """Move the contours of the network's mask to the edges of the image.

    Args:
        reach: how far, in pixels, see :func:`bundle.preferences.candidates.contour_evolution.evolve_mask`.
    """

    reach: float

    def __call__(self, original: Original) -> Made:
        """One mask."""
        em = em_of(original.bare)[0, 0].cpu().numpy()
        yield "evolved contour", evolve_mask(em, mask_of(original.pred), reach=self.reach)


class DroppedFeatures:
    """Network with some channels of its embedding set to 0.

    Args:
        network: the network.
        share: of the channels to drop, in [0,1).
        random: generator that draws the channels.
    """

    def __init__(self, network: PromptableSegmenter, share: float, random: torch.Generator) -> None:
        self.network = network
        self.stride = network.stride
        self.factor = (torch.rand(network.image_encoder.embed_dim, 1, 1, generator=random) >= share) / (1 - share)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Segment (B,3,H,W) to (B,2,H,W)."""
        embedding, fine = self.network.encode(em_of(x))
        points = clicks_to_points(clicks_of(x), self.network.max_points)
        return self.network.decode(embedding * self.factor.to(embedding), fine, *points)


def with_em(image: torch.Tensor, em: torch.Tensor) -> torch.Tensor:
    """An image (1,3,X,Y) with another EM (1,1,X,Y) and the same clicks."""
    return prompted(em, clicks_of(image))


def probability_of(pred: torch.Tensor) -> np.ndarray:
    """Foreground probability (X,Y) float32 of a prediction (1,2,X,Y)."""
    return logits_of(pred)[0, 0].float().sigmoid().cpu().numpy()


def mask_of(pred: torch.Tensor, threshold: float = 0.5) -> np.ndarray:
    """Mask (X,Y) bool of a prediction (1,2,X,Y): where the foreground probability is above a threshold."""
    return probability_of(pred) > threshold
