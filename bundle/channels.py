"""Names of channels: those of a prompted image (EM, foreground clicks, background clicks) and of a prediction.

All take tensors with or without a batch axis and give views, with the channel axis kept.
"""

from __future__ import annotations

import torch


def em_of(image: torch.Tensor) -> torch.Tensor:
    """The normalised EM (...,1,H,W) of a prompted image (...,3,H,W)."""
    return image[..., :1, :, :]


def clicks_of(image: torch.Tensor) -> torch.Tensor:
    """The clicks (...,2,H,W) of a prompted image (...,3,H,W), foreground first; 1 at each click and 0 elsewhere."""
    return image[..., 1:, :, :]


def prompted(em: torch.Tensor, clicks: torch.Tensor) -> torch.Tensor:
    """The prompted image (...,3,H,W) of an EM (...,1,H,W) and clicks (...,2,H,W)."""
    return torch.cat((em, clicks), dim=-3)


def foreground_of(clicks: torch.Tensor) -> torch.Tensor:
    """The foreground clicks (...,1,H,W) of clicks (...,2,H,W), or of what else has a value for each, such as ranks."""
    return clicks[..., :1, :, :]


def background_of(clicks: torch.Tensor) -> torch.Tensor:
    """The background clicks (...,1,H,W) of clicks (...,2,H,W)."""
    return clicks[..., 1:, :, :]


def logits_of(pred: torch.Tensor) -> torch.Tensor:
    """The mask logits (...,1,H,W) of a prediction (...,2,H,W)."""
    return pred[..., :1, :, :]


def density_of(pred: torch.Tensor) -> torch.Tensor:
    """The density (...,1,H,W) of a prediction (...,2,H,W)."""
    return pred[..., 1:, :, :]
