"""Removal of small components in TorchScript, which knows no connected components."""

# TorchScript takes no strings for types: hence no `from __future__ import annotations` here.
import torch
from torch.nn import functional as F


def remove_small_components(
    probability: torch.Tensor, threshold: float, min_size: int, connectivity: int
) -> torch.Tensor:
    """Set the probability to 0 in small components of the mask, as :func:`bundle.metrics.label_instances` drops them.

    Each pixel of the mask has a number, and takes the highest one near it ``min_size`` times. By then a component of
    ``min_size`` pixels or fewer has one number everywhere. A number that has reached its last pixel only now has passed
    more pixels than that, or meets a higher number on the way, and so can be told from a whole component.

    Args:
        probability: (B,1,Y,X), fewer than 2^31 pixels in all.
        threshold: a pixel above it belongs to the mask.
        min_size: components of this many pixels or fewer are removed; 0 keeps all.
        connectivity: 4 (neighbours share an edge) or 8 (or a corner).

    Returns:
        Probability (B,1,Y,X).
    """
    mask = probability > threshold
    numbers = torch.arange(1, mask.numel() + 1, dtype=torch.int32, device=mask.device).reshape(mask.shape) * mask
    for _ in range(min_size):
        numbers = highest_near(numbers, connectivity) * mask
    overtaken = numbers[highest_near(numbers, connectivity) * mask > numbers]
    sizes = torch.bincount(numbers.flatten(), minlength=mask.numel() + 1)
    sizes[overtaken.long()] = min_size + 1
    small = mask & (sizes[numbers.long()] <= min_size)
    return probability.masked_fill(small, 0.0)


def highest_near(numbers: torch.Tensor, connectivity: int) -> torch.Tensor:
    """The highest of each pixel of (B,1,Y,X) and its 4 or 8 neighbours; numbers are 0 or more."""
    beside = F.pad(numbers, [1, 1, 0, 0])
    row = torch.maximum(torch.maximum(beside[..., :-2], numbers), beside[..., 2:])
    above = F.pad(row if connectivity == 8 else numbers, [0, 0, 1, 1])
    return torch.maximum(torch.maximum(above[..., :-2, :], row), above[..., 2:, :])
