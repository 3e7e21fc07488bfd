"""Peaks of density maps, and densities drawn at points."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def density_peaks(density: torch.Tensor, threshold: float = 0.5, radius: int = 4) -> torch.Tensor:
    """Local maxima of a density map above a threshold (non-maximum suppression).

    Args:
        density: (B,1,H,W), with fewer than 2**24 pixels an image.
        threshold: smallest value of a peak.
        radius: a peak is the largest value within a square of this half width, in pixels. Of equal values, as maps of
            16 bits have many, the last in row-major order counts.

    Returns:
        (B,1,H,W) bool.
    """
    peaks = (density == square_maximum(density, radius)) & (density > threshold)
    # Whole numbers below 2**24 are exact in float32.
    place = torch.arange(1, density[0].numel() + 1, dtype=torch.float32, device=density.device).view_as(density[:1])
    ranked = place * peaks
    return peaks & (ranked == square_maximum(ranked, radius))


def square_maximum(values: torch.Tensor, radius: int) -> torch.Tensor:
    """Largest value within a square of half width ``radius`` around each pixel, (B,1,H,W) to (B,1,H,W).

    The largest of each column's part, then of those along the row: 2 side steps rather than side squared.
    """
    side = 2 * radius + 1
    along = F.max_pool2d(values, (side, 1), stride=1, padding=(radius, 0))
    return F.max_pool2d(along, (1, side), stride=1, padding=(0, radius))


def highest_peaks(density: torch.Tensor, peaks: torch.Tensor, room: torch.Tensor, limit: int) -> torch.Tensor:
    """Keep the highest peaks of each image.

    Args:
        density: (B,1,H,W).
        peaks: (B,1,H,W) bool.
        room: (B,) how many to keep, at most ``limit``.
        limit: the most that any image keeps, at most H*W.

    Returns:
        (B,1,H,W) bool.
    """
    height = torch.where(peaks, density, torch.full_like(density, -torch.inf)).flatten(1)
    value, index = height.topk(limit, dim=1)
    kept = value.isfinite() & (torch.arange(limit, device=density.device) < room[:, None])
    return torch.zeros_like(height, dtype=torch.bool).scatter(1, index, kept).view_as(peaks)


def draw_density(points: torch.Tensor, sigma: float) -> torch.Tensor:
    """Draw Gaussians of peak 1 at points, (B,1,H,W) to (B,1,H,W); where two overlap they add up, clipped at 1."""
    reach = int(3 * sigma + 0.5)  # beyond 3 sigma a Gaussian is below 0.012
    r = torch.arange(-reach, reach + 1, device=points.device, dtype=torch.float32)
    g = torch.exp(-r.square() / (2 * sigma * sigma))
    drawn = F.conv2d(points.float(), g[None, None, :, None], padding=(reach, 0))
    return F.conv2d(drawn, g[None, None, None, :], padding=(0, reach)).clamp(max=1.0)
