"""A network that is as small as it can be."""

from __future__ import annotations

import torch

from bundle.networks import ConvEncoder, PromptableSegmenter

DECODER = {"upscaled_channels": [8, 8], "depth": 1, "num_heads": 2, "mlp_dim": 16, "detection_channels": 8}


def tiny_network() -> PromptableSegmenter:
    """A network of a few thousand weights, always the same."""
    torch.manual_seed(0)
    return PromptableSegmenter(ConvEncoder([8, 8, 16], [1, 1, 1]), max_points=6, decoder=DECODER).eval()
