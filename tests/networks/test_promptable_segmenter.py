import itertools

import pytest
import torch

from bundle.networks import PromptableSegmenter
from tests.networks.tiny import tiny_segmenter

HEIGHT, WIDTH = 32, 48
SAME = {"rtol": 0.0, "atol": 1e-5}
CLEARLY = 1e-3
"""A change above this is one: a hundred times what rounding does."""


@pytest.fixture(
    scope="module",
    params=list(itertools.product((True, False), repeat=2)),
    ids=lambda p: f"dense_prompts={p[0]}-point_features={p[1]}",
)
def network(request) -> PromptableSegmenter:
    dense, features = request.param
    return tiny_segmenter(dense_prompts=dense, point_features=features)


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(2, 1, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))


COORDS = torch.tensor([[[4.5, 40.5], [20.5, 7.5], [27.5, 30.5]], [[9.5, 9.5], [30.5, 46.5], [1.5, 20.5]]])
LABELS = torch.tensor([[1, 1, 0], [0, 1, 1]])
PROBES = torch.tensor([[[3.5, 3.5], [12.5, 33.5]], [[25.5, 8.5], [17.5, 21.5]]])


def decode(network: PromptableSegmenter, image: torch.Tensor, coords: torch.Tensor, labels: torch.Tensor):
    return network.decode(*network.encode(image), coords, labels)


def prompted(images: torch.Tensor) -> torch.Tensor:
    """The input of ``forward`` that says what COORDS and LABELS say."""
    x = torch.cat((images, torch.zeros(2, 2, HEIGHT, WIDTH)), dim=1)
    for i, (points, labels) in enumerate(zip(COORDS.long(), LABELS, strict=True)):
        for (px, py), label in zip(points, labels, strict=True):
            x[i, 2 - label, px, py] = 1
    return x


def change(a: torch.Tensor, b: torch.Tensor) -> list[float]:
    """Largest change of the mask and of the density."""
    return (a - b).abs().amax(dim=(0, 2, 3)).tolist()


def test_clicks_matter(network, images) -> None:
    with_clicks = decode(network, images, COORDS, LABELS)
    assert with_clicks.shape == (2, 2, HEIGHT, WIDTH)
    assert min(change(with_clicks, decode(network, images, COORDS[:, :0], LABELS[:, :0]))) > CLEARLY
    elsewhere = (COORDS + 9) % 32
    assert min(change(with_clicks, decode(network, images, elsewhere, LABELS))) > CLEARLY


def test_forward_is_encode_and_decode(network, images) -> None:
    torch.testing.assert_close(network(prompted(images)), decode(network, images, COORDS, LABELS), **SAME)


@pytest.mark.parametrize("value", [0.0, 11.5, 1000.0])
def test_padding_changes_nothing(network, images, value) -> None:
    padding = torch.full((2, 3, 2), value)
    coords = torch.cat((padding[:, :1], COORDS, padding[:, 1:]), dim=1)
    none = torch.full((2, 3), -1)
    labels = torch.cat((none[:, :1], LABELS, none[:, 1:]), dim=1)
    torch.testing.assert_close(decode(network, images, coords, labels), decode(network, images, COORDS, LABELS), **SAME)


def test_order_of_points_changes_nothing(network, images) -> None:
    expected = decode(network, images, COORDS, LABELS)
    for order in itertools.permutations(range(3)):
        got = decode(network, images, COORDS[:, list(order)], LABELS[:, list(order)])
        torch.testing.assert_close(got, expected, **SAME)


def test_other_images_of_the_batch_change_nothing(network, images) -> None:
    together = decode(network, images, COORDS, LABELS)
    for i in range(2):
        alone = decode(network, images[i : i + 1], COORDS[i : i + 1], LABELS[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, **SAME)


def test_neighbour_with_other_number_of_points_changes_nothing(network, images) -> None:
    labels = LABELS.clone()
    labels[1] = -1
    got = decode(network, images, COORDS, labels)
    torch.testing.assert_close(got[:1], decode(network, images, COORDS, LABELS)[:1], **SAME)
    torch.testing.assert_close(got[1:], decode(network, images[1:], COORDS[1:, :0], LABELS[1:, :0]), **SAME)


def test_no_points_in_three_ways(network, images) -> None:
    no_room = decode(network, images, COORDS[:, :0], LABELS[:, :0])
    all_padding = decode(network, images, COORDS, torch.full_like(LABELS, -1))
    empty_channels = network(torch.cat((images, torch.zeros(2, 2, HEIGHT, WIDTH)), dim=1))
    torch.testing.assert_close(all_padding, no_room, **SAME)
    torch.testing.assert_close(empty_channels, no_room, **SAME)


def test_foreground_and_background_click_at_one_spot_differ(network, images) -> None:
    foreground = decode(network, images, COORDS[:, :1], torch.ones(2, 1, dtype=torch.long))
    background = decode(network, images, COORDS[:, :1], torch.zeros(2, 1, dtype=torch.long))
    assert min(change(foreground, background)) > CLEARLY


def test_probes_change_neither_mask_nor_density(network, images) -> None:
    for labels in (LABELS, torch.full_like(LABELS, -1)):
        without = decode(network, images, COORDS, labels)
        with_probes, _ = network.decode_with_probes(*network.encode(images), COORDS, labels, PROBES)
        torch.testing.assert_close(with_probes, without, **SAME)


def test_probes_do_not_see_each_other(network, images) -> None:
    encoded = network.encode(images)
    _, together = network.decode_with_probes(*encoded, COORDS, LABELS, PROBES)
    assert (together[:, 0] - together[:, 1]).abs().max() > CLEARLY
    for i in range(2):
        _, alone = network.decode_with_probes(*encoded, COORDS, LABELS, PROBES[:, i : i + 1])
        torch.testing.assert_close(alone[:, 0], together[:, i], **SAME)


def test_probes_do_not_see_prompts(images) -> None:
    network = tiny_segmenter(dense_prompts=False)
    # An image that has read the prompts is the only way from a prompt to a probe: close it.
    for block in network.mask_decoder.transformer.blocks:
        for parameter in block.image_to_token.out_proj.parameters():
            parameter.zero_()
    encoded = network.encode(images)
    _, with_prompts = network.decode_with_probes(*encoded, COORDS, LABELS, PROBES)
    _, without = network.decode_with_probes(*encoded, COORDS[:, :0], LABELS[:, :0], PROBES)
    torch.testing.assert_close(with_prompts, without, **SAME)
    # The mask token still hears the prompts themselves.
    mask, _ = change(decode(network, images, COORDS, LABELS), decode(network, images, COORDS[:, :0], LABELS[:, :0]))
    assert mask > CLEARLY


def test_probe_says_what_stands_at_its_place(network, images) -> None:
    _, here = network.decode_with_probes(*network.encode(images), COORDS, LABELS, PROBES)
    _, other_image = network.decode_with_probes(*network.encode(images.flip(2)), COORDS, LABELS, PROBES)
    assert (here - other_image).abs().max() > CLEARLY


@torch.enable_grad()
def test_probes_teach_the_image_encoder_and_ignore_padding(network, images) -> None:
    coords = COORDS.clone().requires_grad_()
    padding = torch.full_like(LABELS, -1)
    _, probed = network.decode_with_probes(*network.encode(images), coords, padding, PROBES)
    weights = list(network.image_encoder.parameters())
    *gradients, of_padding = torch.autograd.grad(probed.square().sum(), [*weights, coords])
    assert all(g.abs().max() > 0 for g in gradients)
    assert of_padding.abs().max() == 0


@pytest.mark.parametrize("size", [(64, 40), (24, 72), (16, 16)])
def test_other_sizes(network, size) -> None:
    x = torch.cat((torch.randn(1, 1, *size), torch.zeros(1, 2, *size)), dim=1)
    empty = network(x)
    assert empty.shape == (1, 2, *size)
    assert torch.isfinite(empty).all()
    x[0, 1, size[0] - 1, size[1] - 1] = 1
    corner = torch.tensor([[[size[0] - 0.5, size[1] - 0.5]]])
    expected = decode(network, x[:, :1], corner, torch.ones(1, 1, dtype=torch.long))
    torch.testing.assert_close(network(x), expected, **SAME)
    assert min(change(expected, empty)) > CLEARLY


@pytest.mark.parametrize("at", [(4, 40), (28, 4)])
def test_click_in_a_wide_image_is_felt_where_it_lies(at) -> None:
    """x goes along the first axis: what a dense prompt draws is strongest in the cell of the click."""
    network = tiny_segmenter()
    coords = torch.tensor([[at]]) + 0.5
    grid = network.prompt_encoder.grid_positions(HEIGHT // 8, WIDTH // 8, 8)
    drawn = network.prompt_encoder.dense(coords, torch.ones(1, 1, dtype=torch.long), grid, 8)
    cell = drawn[0].norm(dim=-1).argmax().item()
    assert divmod(cell, WIDTH // 8) == (at[0] // 8, at[1] // 8)


@pytest.mark.parametrize("at", [(4, 40), (28, 4)])
def test_point_features_are_read_at_the_point(at) -> None:
    network = tiny_segmenter()
    embedding = torch.zeros(1, 16, HEIGHT // 8, WIDTH // 8)
    embedding[0, :, at[0] // 8, at[1] // 8] = torch.arange(16.0)
    centre = torch.tensor([[[at[0] // 8 * 8 + 4.0, at[1] // 8 * 8 + 4.0]]])
    torch.testing.assert_close(network._features_at(embedding, centre)[0, 0], torch.arange(16.0))


@pytest.fixture(scope="module")
def scripted(network) -> torch.jit.ScriptModule:
    return torch.jit.script(network)


def test_torchscript_equals_eager(network, scripted, images) -> None:
    for x in (
        prompted(images),
        torch.cat((images, torch.zeros(2, 2, HEIGHT, WIDTH)), dim=1),
        prompted(images)[:, :, 8:],
    ):
        torch.testing.assert_close(scripted(x), network(x), **SAME)


def test_torchscript_keeps_encode_and_decode(network, scripted, images) -> None:
    encoded = scripted.encode(images)
    for coords, labels in ((COORDS, LABELS), (COORDS[:, :0], LABELS[:, :0])):
        torch.testing.assert_close(
            scripted.decode(*encoded, coords, labels), decode(network, images, coords, labels), **SAME
        )
    got = scripted.decode_with_probes(*encoded, COORDS, LABELS, PROBES)
    torch.testing.assert_close(got, network.decode_with_probes(*encoded, COORDS, LABELS, PROBES), **SAME)
