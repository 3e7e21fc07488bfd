import math

import pytest
import torch

from bundle.networks.prompt_encoder import PromptEncoder, clicks_to_points, without_padding


def found(coords: torch.Tensor, labels: torch.Tensor) -> list[set[tuple[float, float, int]]]:
    """The points of each image, without padding."""
    return [
        {(*point.tolist(), int(label)) for point, label in zip(c, n, strict=True) if label >= 0}
        for c, n in zip(coords, labels, strict=True)
    ]


def test_clicks_become_pixel_centres() -> None:
    clicks = torch.zeros(2, 2, 5, 9)
    clicks[0, 0, 1, 8] = 1  # foreground at x 1, y 8
    clicks[0, 1, 4, 0] = 1  # background at x 4, y 0
    clicks[1, 0, 4, 8] = 1
    coords, labels = clicks_to_points(clicks, 4)
    assert coords.shape == (2, 4, 2)
    assert labels.shape == (2, 4)
    assert labels.dtype == torch.long
    assert found(coords, labels) == [{(1.5, 8.5, 1), (4.5, 0.5, 0)}, {(4.5, 8.5, 1)}]
    assert (labels == -1).sum(dim=1).tolist() == [2, 3]


def test_no_click_is_all_padding() -> None:
    _, labels = clicks_to_points(torch.zeros(3, 2, 8, 8), 5)
    assert labels.tolist() == [[-1] * 5] * 3


def test_as_many_clicks_as_there_is_room_for() -> None:
    clicks = torch.zeros(1, 2, 6, 7)
    clicks[0, 0, torch.arange(6), torch.arange(6)] = 1
    coords, labels = clicks_to_points(clicks, 6)
    assert found(coords, labels) == [{(i + 0.5, i + 0.5, 1) for i in range(6)}]


def test_of_too_many_clicks_those_of_the_highest_rank_are_taken() -> None:
    clicks, ranks = torch.zeros(1, 2, 6, 7), torch.ones(1, 2, 6, 7)
    clicks[0, 0, 1, 1] = clicks[0, 0, 2, 2] = clicks[0, 0, 3, 3] = clicks[0, 1, 4, 4] = 1
    ranks[0, 0, 1, 1], ranks[0, 0, 3, 3], ranks[0, 1, 4, 4] = 0.2, 0.3, 0.4
    assert found(*clicks_to_points(clicks, 3, ranks)) == [{(2.5, 2.5, 1), (3.5, 3.5, 1), (4.5, 4.5, 0)}]
    assert len(found(*clicks_to_points(clicks, 6, ranks))[0]) == 4


def test_ranks_apart_from_clicks_give_the_points_in_the_order_that_ranks_as_their_values_gave() -> None:
    random = torch.Generator().manual_seed(0)
    clicks = (torch.rand(3, 2, 8, 9, generator=random) < 0.2).float()
    ranks = 0.6 + 0.3 * torch.rand(3, 2, 8, 9, generator=random)
    for apart, together in zip(clicks_to_points(clicks, 6, ranks), clicks_to_points(clicks * ranks, 6), strict=True):
        assert torch.equal(apart, together)


def test_foreground_and_background_in_one_pixel_are_two_points() -> None:
    clicks = torch.zeros(1, 2, 6, 7)
    clicks[0, :, 3, 5] = 1
    assert found(*clicks_to_points(clicks, 3)) == [{(3.5, 5.5, 1), (3.5, 5.5, 0)}]


def test_fourier_features_by_hand() -> None:
    encoder = PromptEncoder(4, position_scale=64.0)
    encoder.frequencies.copy_(torch.tensor([[1.0, 0.5], [2.0, 0.0]]))
    # (16, 8) of 64 is (1/4, 1/8): phases 2 pi (1/4 + 2/8) = pi and 2 pi / 8 = pi / 4
    code = encoder.encode_positions(torch.tensor([16.0, 8.0]))
    torch.testing.assert_close(code, torch.tensor([0.0, math.sqrt(0.5), -1.0, math.sqrt(0.5)]), atol=1e-6, rtol=0)


def test_token_is_position_and_label() -> None:
    encoder = PromptEncoder(8)
    coords = torch.tensor([[[3.5, 60.5], [3.5, 60.5]]])
    tokens = encoder(coords, torch.tensor([[0, 1]]))
    code = encoder.encode_positions(coords)[0, 0]
    torch.testing.assert_close(tokens[0], code + encoder.label_embeddings.weight)


def test_grid_goes_row_by_row_with_x_along_the_height() -> None:
    grid = PromptEncoder(8).grid_positions(2, 3, 8)
    assert grid.tolist() == [[4, 4], [4, 12], [4, 20], [12, 4], [12, 12], [12, 20]]


def test_dense_prompt_by_hand() -> None:
    encoder = PromptEncoder(2)
    with torch.no_grad():
        encoder.dense_embeddings.weight.copy_(torch.tensor([[10.0, 0.0], [0.0, 1.0]]))
    coords = torch.tensor([[[4.0, 4.0], [4.0, 12.0], [4.0, 4.0]]])
    drawn = encoder.dense(coords, torch.tensor([[1, 0, -1]]), encoder.grid_positions(1, 2, 8), 8)
    # A click is worth 1 in its own cell and exp(-8^2 / (2 * 8^2)) in the next; padding is worth nothing.
    near = math.exp(-0.5)
    torch.testing.assert_close(drawn, torch.tensor([[[10 * near, 1.0], [10.0, near]]]))


def test_odd_width_is_refused() -> None:
    with pytest.raises(ValueError, match="embed_dim must be even, got 7"):
        PromptEncoder(7)


def test_without_padding_leaves_what_the_fullest_image_needs() -> None:
    clicks = torch.zeros(3, 2, 8, 8)
    clicks[0, 0, 1, 2] = clicks[0, 1, 3, 4] = clicks[2, 0, 5, 6] = 1
    coords, labels = clicks_to_points(clicks, 16)
    fewer, kept = without_padding(coords, labels)
    assert torch.equal(fewer, coords[:, :2]) and torch.equal(kept, labels[:, :2])
    assert without_padding(*clicks_to_points(clicks[1:2], 16))[0].shape == (1, 0, 2)
