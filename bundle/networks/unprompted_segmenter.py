"""Networks without prompts, such as MONAI's, in the place of the promptable segmenter."""

from __future__ import annotations

import torch
from torch import nn

from bundle.channels import em_of


class UnpromptedSegmenter(nn.Module):
    """Image and clicks in, mask logits and an empty density map out: the clicks change nothing.

    Args:
        network: maps (B,1,H,W) to mask logits (B,1,H,W), such as :class:`monai.networks.nets.BasicUNet`.
        stride: H and W are multiples of it; 16 of a network that halves them four times.
    """

    def __init__(self, network: nn.Module, stride: int = 16) -> None:
        super().__init__()
        self.network = network
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Segment images.

        Args:
            x: (B,3,H,W): the normalised EM, foreground clicks, background clicks.

        Returns:
            (B,2,H,W): mask logits, and 0 in the place of a density.
        """
        logits: torch.Tensor = self.network(em_of(x))
        return torch.cat((logits, torch.zeros_like(logits)), dim=1)
