import pytest
import torch
from torch.nn import functional as F

from bundle.networks.two_way_transformer import Attention, TwoWayTransformer

CELLS, CHANNELS = 12, 16


@pytest.fixture
def inputs():
    torch.manual_seed(0)
    transformer = TwoWayTransformer(depth=2, embed_dim=CHANNELS, num_heads=2, mlp_dim=32).eval()
    tokens, image = torch.randn(1, 4, CHANNELS), torch.randn(1, CELLS, CHANNELS)
    return transformer, tokens, image, torch.randn(1, CELLS, CHANNELS)


def allowed(present):
    """Masks by which nobody looks at absent tokens, which look at themselves."""
    token_mask = present[None].expand(len(present), -1) | torch.eye(len(present), dtype=torch.bool)
    return token_mask[None, None], present[None, None, None]


def test_an_absent_token_is_as_good_as_none(inputs):
    transformer, tokens, image, position = inputs
    masks = allowed(torch.tensor([True, True, True, False]))
    found, seen = transformer(tokens, image, position, *masks)
    without, unseen = transformer(tokens[:, :3], image, position, *allowed(torch.ones(3, dtype=torch.bool)))
    torch.testing.assert_close(found[:, :3], without)
    torch.testing.assert_close(seen, unseen)


def test_a_token_that_is_there_counts(inputs):
    transformer, tokens, image, position = inputs
    everyone = allowed(torch.ones(4, dtype=torch.bool))
    found, seen = transformer(tokens, image, position, *everyone)
    other = tokens.clone()
    other[:, 3] += 1
    changed, otherwise = transformer(other, image, position, *everyone)
    assert (changed[:, :3] - found[:, :3]).abs().max() > 1e-3
    assert (otherwise - seen).abs().max() > 1e-3


def test_the_order_of_the_tokens_does_not_count(inputs):
    transformer, tokens, image, position = inputs
    everyone = allowed(torch.ones(4, dtype=torch.bool))
    found, seen = transformer(tokens, image, position, *everyone)
    turned, same = transformer(tokens[:, [2, 0, 3, 1]], image, position, *everyone)
    torch.testing.assert_close(turned, found[:, [2, 0, 3, 1]])
    torch.testing.assert_close(same, seen)


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
