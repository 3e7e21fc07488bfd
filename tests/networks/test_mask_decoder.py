import pytest
import torch

from bundle.networks.mask_decoder import MaskDecoder

HEIGHT, WIDTH, CHANNELS = 3, 5, 16


def decoder(skip_channels: tuple[int, ...] = ()) -> MaskDecoder:
    torch.manual_seed(0)
    return MaskDecoder(
        CHANNELS, skip_channels, (8, 8), num_heads=2, mlp_dim=32, detection_channels=8, contrastive_dim=6
    ).eval()


def inputs(prompts: int, probes: int) -> list:
    g = torch.Generator().manual_seed(1)
    return [
        torch.randn(2, CHANNELS, HEIGHT, WIDTH, generator=g),
        torch.randn(1, HEIGHT * WIDTH, CHANNELS, generator=g),
        [],
        torch.randn(2, prompts, CHANNELS, generator=g),
        torch.ones(2, prompts, dtype=torch.bool),
        torch.randn(2, probes, CHANNELS, generator=g),
    ]


@pytest.mark.parametrize(("prompts", "probes"), [(0, 0), (3, 0), (0, 4), (3, 4)])
def test_shapes(prompts, probes) -> None:
    out, probed = decoder()(*inputs(prompts, probes))
    assert out.shape == (2, 2, 4 * HEIGHT, 4 * WIDTH)
    assert probed.shape == (2, probes, 6)


def test_finer_features_reach_mask_and_density() -> None:
    network = decoder((8, 8))
    args = inputs(2, 0)
    args[2] = [torch.randn(2, 8, 2 * HEIGHT, 2 * WIDTH), torch.randn(2, 8, 4 * HEIGHT, 4 * WIDTH)]
    base, _ = network(*args)
    for i in range(2):
        changed = [f + (2 * torch.randn_like(f) if i == j else 0) for j, f in enumerate(args[2])]
        out, _ = network(*args[:2], changed, *args[3:])
        assert ((out - base).abs().amax(dim=(0, 2, 3)) > 1e-3).all()
