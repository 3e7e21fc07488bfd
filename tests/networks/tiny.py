"""A segmenter small enough for a test, whose random weights let a click be felt."""

import torch

from bundle.networks import ConvEncoder, PromptableSegmenter


def tiny_segmenter(seed: int = 0, **changes) -> PromptableSegmenter:
    """A network of 16 channels; ``changes`` are arguments of the segmenter."""
    torch.manual_seed(seed)
    decoder = {
        "upscaled_channels": (8, 8),
        "num_heads": 2,
        "mlp_dim": 32,
        "detection_channels": 8,
        "contrastive_dim": 8,
    }
    network = PromptableSegmenter(
        ConvEncoder((8, 8, 16), (1, 1, 1)), **{"max_points": 6, "decoder": decoder, **changes}
    ).eval()
    # Training starts with small embeddings of a click's label. Here what should matter has to matter visibly.
    for embedding in (network.prompt_encoder.label_embeddings, network.prompt_encoder.dense_embeddings):
        torch.nn.init.normal_(embedding.weight)
    return network
