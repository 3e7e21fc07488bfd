"""Segmentation and detection loss, for true labels and for pseudo labels with weights."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from bundle.channels import density_of, logits_of


class MultitaskLoss(nn.Module):
    """Binary cross-entropy and soft Dice on the mask, mean squared error on the density map (Prompt-DAS, section 2).

    With a weight W in [0,1] for each pixel, BCE = sum W bce / sum W, MSE likewise, and
    Dice = 1 - (2 sum W p y + s) / (sum W p + sum W y + s), over the whole batch.

    With ``logit_adjustment`` a, z + a takes the place of the logit z (Menon et al., ICLR 2021, arXiv
    2007.07314). Where the share of foreground is s in training and t in use, a = log(s / (1 - s)) - log(t / (1 - t)),
    so that z is the logit of the share t.

    Args:
        smooth: additive smoothing s; avoids large gradients when a batch has almost no foreground.
        logit_adjustment: a, above 0 where the training has more foreground.
    """

    def __init__(self, smooth: float = 10.0, logit_adjustment: float = 0.0) -> None:
        super().__init__()
        self.smooth = smooth
        self.logit_adjustment = logit_adjustment

    def forward(
        self, pred: torch.Tensor, mask: torch.Tensor, density: torch.Tensor, weight: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute both parts.

        Args:
            pred: (B,2,H,W) mask logits and density.
            mask: (B,1,H,W) of 0 and 1.
            density: (B,1,H,W) in [0,1].
            weight: (B,1,H,W) in [0,1], or None for 1 everywhere.

        Returns:
            Segmentation loss and detection loss, scalars.
        """
        logits, estimate = logits_of(pred) + self.logit_adjustment, density_of(pred)
        mask = mask.to(logits.dtype)
        w = torch.ones_like(mask) if weight is None else weight.to(logits.dtype)
        total = w.sum().clamp(min=1.0)
        bce = (w * F.binary_cross_entropy_with_logits(logits, mask, reduction="none")).sum() / total
        p = logits.sigmoid()
        overlap = 2 * (w * p * mask).sum() + self.smooth
        dice = 1 - overlap / ((w * p).sum() + (w * mask).sum() + self.smooth)
        mse = (w * (estimate - density).square()).sum() / total
        return bce + dice, mse
