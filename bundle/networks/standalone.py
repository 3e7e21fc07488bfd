"""The segmenter with all that inference does around it, as TorchScript that other programs run without this bundle."""

# TorchScript reads the types below and takes no strings for types: hence no `from __future__ import annotations` here.
from collections.abc import Sequence

import torch
from monai.data.utils import compute_importance_map
from torch import nn
from torch.nn import functional as F

from bundle.networks.promptable_segmenter import PromptableSegmenter
from bundle.networks.small_components import remove_small_components


class InteractiveSegmenter(nn.Module):
    """Image and clicks of any size in, probability and density out; axes are (y, x).

    Brings images to mean 0 and variance 1, and does what :class:`bundle.inferers.PromptedSlidingWindowInferer` does,
    which cannot be scripted: overlapping windows blended with Gaussian weights, images smaller than a window padded
    with 0. The axes are turned to this bundle's (x, y) and back. Small components of the mask are removed as by
    :class:`bundle.transforms.LabelInstancesd`.

    Args:
        network: scripted with this module.
        window: of the sliding window, (x, y) in pixels, multiples of the network's stride.
        overlap: of neighbouring windows, in [0, 1).
        rotations: 1, or 4 to average over rotations by 90 degrees.
        threshold: probability above which a pixel belongs to the mask.
        min_size: components of the mask of this many pixels or fewer get the probability 0; 0 keeps all.
        connectivity: 4 or 8 neighbours of a pixel.
    """

    weights: torch.Tensor

    def __init__(
        self,
        network: PromptableSegmenter,
        window: Sequence[int],
        overlap: float = 0.5,
        rotations: int = 1,
        threshold: float = 0.5,
        min_size: int = 15,
        connectivity: int = 8,
    ) -> None:
        super().__init__()
        self.network = network
        self.max_points = network.max_points
        self.rotations = rotations
        self.threshold, self.min_size, self.connectivity = threshold, min_size, connectivity
        self.width, self.height = int(window[0]), int(window[1])
        self.step_x, self.step_y = max(1, int(self.width * (1 - overlap))), max(1, int(self.height * (1 - overlap)))
        self.register_buffer("weights", compute_importance_map((self.width, self.height), mode="gaussian"))

    def forward(self, image: torch.Tensor, clicks: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Segment images.

        Args:
            image: (B,1,Y,X) float32, clipped to its percentiles, on any linear scale.
            clicks: (B,2,Y,X), channel 0 foreground and channel 1 background, each click one pixel of value 1; None for
                none.

        Returns:
            Probability of the foreground and density of its centres, both (B,1,Y,X) float32 in [0,1].

        Raises:
            ValueError: a window holds more clicks than the network takes.
        """
        if clicks is None:
            clicks = torch.zeros_like(image).repeat(1, 2, 1, 1)
        inputs = torch.cat((standardize(image), clicks.to(image.dtype)), dim=1).transpose(2, 3)
        total = torch.zeros_like(inputs[:, :2])
        for k in range(self.rotations):
            total = total + torch.rot90(self.slide(torch.rot90(inputs, k, [2, 3])), -k, [2, 3])
        out = (total / self.rotations).transpose(2, 3).contiguous()
        probability = torch.sigmoid(out[:, :1])
        kept = remove_small_components(probability, self.threshold, self.min_size, self.connectivity)
        return kept, out[:, 1:].clamp(0, 1)

    def slide(self, inputs: torch.Tensor) -> torch.Tensor:
        """Mean (B,2,X,Y) of the logits and densities of all windows of images (B,3,X,Y)."""
        width, height = inputs.shape[2], inputs.shape[3]
        more_x, more_y = max(0, self.width - width), max(0, self.height - height)
        left, top = more_x // 2, more_y // 2
        padded = F.pad(inputs, [top, more_y - top, left, more_x - left])
        total = torch.zeros_like(padded[:, :2])
        weight = torch.zeros_like(padded[:1, :1])
        for x in window_starts(padded.shape[2], self.width, self.step_x):
            for y in window_starts(padded.shape[3], self.height, self.step_y):
                part = padded[:, :, x : x + self.width, y : y + self.height]
                count = int((part[:, 1:] > 0.5).flatten(1).sum(dim=1).max())
                if count > self.max_points:
                    raise ValueError(
                        f"{count} clicks fall in one window of {self.width} x {self.height} pixels, but the network "
                        f"takes at most {self.max_points}"
                    )
                total[:, :, x : x + self.width, y : y + self.height] += self.network(part) * self.weights
                weight[:, :, x : x + self.width, y : y + self.height] += self.weights
        return (total / weight)[:, :, left : left + width, top : top + height]


class AutomaticSegmenter(nn.Module):
    """Images (B,1,Y,X) of any size in, probability of the foreground (B,1,Y,X) in [0,1] out.

    Args:
        segmenter: run without clicks.
    """

    def __init__(self, segmenter: InteractiveSegmenter) -> None:
        super().__init__()
        self.segmenter = segmenter

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Segment images."""
        probability: torch.Tensor = self.segmenter(image)[0]
        return probability


def standardize(image: torch.Tensor) -> torch.Tensor:
    """Bring each image (B,1,Y,X) to mean 0 and variance 1, as MONAI's ``NormalizeIntensity``; an even one to 0."""
    deviation = image.std(dim=(2, 3), correction=0, keepdim=True)
    return (image - image.mean(dim=(2, 3), keepdim=True)) / torch.where(deviation == 0, 1.0, deviation)


def window_starts(length: int, window: int, step: int) -> list[int]:
    """Where windows begin that cover a length in steps; the last one ends at its end. MONAI's places."""
    starts = [0]
    while starts[-1] + window < length:
        starts.append(min(starts[-1] + step, length - window))
    return starts
