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


NO_PROBES = torch.zeros(1, 0, CHANNELS)
ALL = torch.ones(1, 4, dtype=torch.bool)


def test_an_absent_token_is_as_good_as_none(inputs):
    transformer, tokens, image, position = inputs
    present = torch.tensor([[True, True, True, False]])
    found, seen = transformer(tokens, image, position, present, NO_PROBES)
    without, unseen = transformer(tokens[:, :3], image, position, ALL[:, :3], NO_PROBES)
    torch.testing.assert_close(found[:, :3], without)
    torch.testing.assert_close(seen, unseen)


def test_a_token_that_is_there_counts(inputs):
    transformer, tokens, image, position = inputs
    found, seen = transformer(tokens, image, position, ALL, NO_PROBES)
    other = tokens.clone()
    other[:, 3] += 1
    changed, otherwise = transformer(other, image, position, ALL, NO_PROBES)
    assert (changed[:, :3] - found[:, :3]).abs().max() > 1e-3
    assert (otherwise - seen).abs().max() > 1e-3


def test_the_order_of_the_tokens_does_not_count(inputs):
    transformer, tokens, image, position = inputs
    found, seen = transformer(tokens, image, position, ALL, NO_PROBES)
    turned, same = transformer(tokens[:, [2, 0, 3, 1]], image, position, ALL, NO_PROBES)
    torch.testing.assert_close(turned, found[:, [2, 0, 3, 1]])
    torch.testing.assert_close(same, seen)


def test_a_probe_is_a_token_that_only_itself_looks_at(inputs):
    transformer, tokens, image, position = inputs
    found, seen = transformer(tokens[:, :2], image, position, ALL[:, :2], tokens[:, 2:])
    without, unseen = transformer(tokens[:, :2], image, position, ALL[:, :2], NO_PROBES)
    torch.testing.assert_close(found[:, :2], without)
    torch.testing.assert_close(seen, unseen)
    other = tokens.clone()
    other[:, 3] += 1
    changed, _ = transformer(tokens[:, :2], image, position, ALL[:, :2], other[:, 2:])
    torch.testing.assert_close(changed[:, 2], found[:, 2])
    assert (changed[:, 3] - found[:, 3]).abs().max() > 1e-3


def test_attention_to_itself_is_attention_with_a_diagonal_mask() -> None:
    torch.manual_seed(0)
    attention = Attention(8, 2, downsample_rate=2)
    q, v = torch.randn(2, 5, 8), torch.randn(2, 5, 8)
    masked = attention(q, q, v, torch.eye(5, dtype=torch.bool)[None, None])
    torch.testing.assert_close(attention.to_itself(v), masked)


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
