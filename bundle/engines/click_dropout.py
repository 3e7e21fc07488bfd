"""Random subsets of clicks, so that a network learns to work with all, some or none of them."""

from __future__ import annotations

import torch

from bundle.channels import clicks_of, em_of, prompted


def drop_points(labels: torch.Tensor, bare_prob: float) -> torch.Tensor:
    """Replace a random subset of the points (B,N) by padding.

    Args:
        labels: (B,N) labels of the points.
        bare_prob: probability that all points of an image are dropped; else the share kept is uniform in [0,1].

    Returns:
        (B,N), -1 where a point was dropped.
    """
    share = torch.rand(len(labels), 1, device=labels.device)
    bare = torch.rand(len(labels), 1, device=labels.device) < bare_prob
    keep = (torch.rand(labels.shape, device=labels.device) < share) & ~bare
    return torch.where(keep, labels, torch.full_like(labels, -1))


def drop_clicks(image: torch.Tensor) -> torch.Tensor:
    """Drop a random subset of the clicks of prompted images (B,3,H,W); the share kept is uniform in [0,1] for each."""
    share = torch.rand(len(image), 1, 1, 1, device=image.device)
    clicks = clicks_of(image)
    keep = torch.rand_like(clicks) < share
    return prompted(em_of(image), clicks * keep)
