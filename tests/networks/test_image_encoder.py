"""The contract of image encoders, held by each of them."""

import pytest
import torch
from torch import nn

from bundle.networks import ConvEncoder, PromptableSegmenter, ViTEncoder
from bundle.networks.image_encoder import ImageEncoder


class FineEncoder(nn.Module):
    """The smallest one of another stride: embedding at stride 4, finer features at strides 2 and 1."""

    embed_dim = 16
    stride = 4
    skip_channels: tuple[int, ...] = (8, 3)

    def __init__(self) -> None:
        super().__init__()
        self.stage1 = nn.Conv2d(1, 3, 3, padding=1)
        self.stage2 = nn.Conv2d(3, 8, 2, stride=2)
        self.stage4 = nn.Conv2d(8, 16, 2, stride=2)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        fine1 = self.stage1(image)
        fine2 = self.stage2(fine1)
        return self.stage4(fine2), [fine2, fine1]


ENCODERS = {
    "conv": lambda: ConvEncoder((8, 16, 24), (1, 1, 1)),
    "vit": lambda: ViTEncoder(embed_dim=16, depth=1, num_heads=2, pretrain_grid=4),
    "vit of patches of 4": lambda: ViTEncoder(embed_dim=16, depth=1, num_heads=2, patch_size=4, pretrain_grid=4),
    "stride 4": FineEncoder,
}


@pytest.fixture(params=ENCODERS)
def encoder(request) -> ImageEncoder:
    return ENCODERS[request.param]().eval()


def test_sizes_of_the_embedding_and_of_finer_features(encoder: ImageEncoder) -> None:
    stride = encoder.stride
    embedding, fine = encoder(torch.randn(2, 1, 3 * stride, 5 * stride))
    assert embedding.shape == (2, encoder.embed_dim, 3, 5)
    expected = [(2, encoder.skip_channels[i], 3 * n, 5 * n) for i, n in enumerate((2, 4)[: len(encoder.skip_channels)])]
    assert len(fine) in (0, 2) and [tuple(features.shape) for features in fine] == expected


def test_the_segmenter_takes_it_and_reads_its_finer_features(encoder: ImageEncoder) -> None:
    decoder = {"upscaled_channels": (8, 8), "depth": 1, "num_heads": 2, "mlp_dim": 16, "detection_channels": 8}
    network = PromptableSegmenter(encoder, max_points=2, decoder=decoder).eval()
    image = torch.cat((torch.randn(1, 1, 24, 40), torch.zeros(1, 2, 24, 40)), dim=1)
    assert network(image).shape == (1, 2, 24, 40)
    embedding, fine = network.encode(image[:, :1])
    points = torch.zeros(1, 0, 2), torch.zeros(1, 0, dtype=torch.long)
    pred = network.decode(embedding, fine, *points)
    for i in range(len(fine)):
        other = [features + (i == j) for j, features in enumerate(fine)]
        assert (network.decode(embedding, other, *points) - pred).abs().max() > 1e-6


@pytest.mark.parametrize("channels", [(8,), (8, 8, 8)])
def test_another_number_of_finer_features_is_refused(channels) -> None:
    encoder = FineEncoder()
    encoder.skip_channels = channels
    with pytest.raises(ValueError, match="expected those of two finer features"):
        PromptableSegmenter(encoder, decoder={"num_heads": 2})
