"""The smallest network that the configurations can describe."""

from __future__ import annotations

from typing import Any

import torch

from bundle.networks import ConvEncoder, PromptableSegmenter

NETWORK: dict[str, Any] = {
    "image_encoder#channels": [8, 8, 16],
    "image_encoder#blocks": [1, 1, 1],
    "decoder#upscaled_channels": [8, 8],
    "decoder#depth": 1,
    "decoder#num_heads": 2,
    "decoder#mlp_dim": 16,
    "decoder#detection_channels": 8,
}
"""As settings on top of ``configs/inference.json``."""


def tiny_network() -> PromptableSegmenter:
    """A network of a few thousand weights, always the same."""
    torch.manual_seed(0)
    decoder = {name.partition("#")[2]: value for name, value in NETWORK.items() if name.startswith("decoder")}
    encoder = ConvEncoder(NETWORK["image_encoder#channels"], NETWORK["image_encoder#blocks"])
    return PromptableSegmenter(encoder, max_points=6, decoder=decoder).eval()
