import pytest
import torch
from torch.nn import functional as F

from bundle.networks.mask_decoder import MaskDecoder
from bundle.networks.two_way_transformer import Attention

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


def test_who_sees_whom() -> None:
    # tokens: mask token, prompt, padding, probe, probe
    present = torch.tensor([[True, False]])
    token_mask, prompt_mask = decoder()._masks(present, 2)
    assert prompt_mask.int().tolist() == [[[[1, 1, 0, 0, 0]]]]
    assert token_mask[0, 0].int().tolist() == [
        [1, 1, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 0, 0, 0],  # what padding sees does not matter, as long as it is something
        [0, 0, 0, 1, 0],
        [0, 0, 0, 0, 1],
    ]


def test_finer_features_reach_mask_and_density() -> None:
    network = decoder((8, 8))
    args = inputs(2, 0)
    args[2] = [torch.randn(2, 8, 2 * HEIGHT, 2 * WIDTH), torch.randn(2, 8, 4 * HEIGHT, 4 * WIDTH)]
    base, _ = network(*args)
    for i in range(2):
        changed = [f + (2 * torch.randn_like(f) if i == j else 0) for j, f in enumerate(args[2])]
        out, _ = network(*args[:2], changed, *args[3:])
        assert ((out - base).abs().amax(dim=(0, 2, 3)) > 1e-3).all()


def test_attention_is_softmax_of_the_allowed() -> None:
    torch.manual_seed(0)
    attention = Attention(8, 2, downsample_rate=2)
    q, k, v = torch.randn(1, 3, 8), torch.randn(1, 4, 8), torch.randn(1, 4, 8)
    allowed = torch.tensor([[1, 1, 0, 1], [0, 0, 1, 0], [1, 0, 1, 1]], dtype=torch.bool)
    heads = []
    for h in (slice(0, 2), slice(2, 4)):
        scores = attention.q_proj(q)[..., h] @ attention.k_proj(k)[..., h].transpose(1, 2) / 2**0.5
        heads.append(F.softmax(scores.masked_fill(~allowed, -torch.inf), dim=-1) @ attention.v_proj(v)[..., h])
    expected = attention.out_proj(torch.cat(heads, dim=-1))
    torch.testing.assert_close(attention(q, k, v, allowed[None, None]), expected)


def test_attention_by_position_starts_where_position_codes_agree() -> None:
    torch.manual_seed(0)
    attention = Attention(32, 4, by_position=True)
    codes = torch.randn(1, 10, 32)
    scores = attention.q_proj(codes) @ attention.k_proj(codes).transpose(1, 2)
    torch.testing.assert_close(scores, scores.transpose(1, 2))
    assert scores.argmax(dim=-1).tolist() == [list(range(10))]


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="num_heads 3 must divide the inner width 8"):
        Attention(16, 3, downsample_rate=2)
