import numpy as np
import pytest
import torch

from bundle.inferers import PromptedSlidingWindowInferer
from bundle.networks import PromptableSegmenter
from bundle.preferences.candidates.comparison import jaccard_distances
from bundle.preferences.candidates.maker import CURRENT, CandidateMaker
from tests.networks.tiny import tiny_segmenter

SHAPE = (40, 24)  # more than a window, and not square


def maker(**changes) -> CandidateMaker:
    settings = {"thresholds": (0.4, 0.6), "brightness": (-0.8, 0.8), "gamma": (0.6,), "zoom": (0.75,)}
    inferer = PromptedSlidingWindowInferer([24, 24], overlap=0.25, max_points=6)
    return CandidateMaker(inferer, **{"count": 5, "peak_threshold": 9.0, **settings, **changes})


def prompted(seed: int = 0) -> torch.Tensor:
    """An image with four clicks."""
    image = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(seed))
    image[1:] = 0
    image[1, 3, 5] = image[1, 30, 20] = image[1, 12, 12] = image[2, 20, 4] = 1
    return image


@pytest.fixture(scope="module")
def networks() -> tuple[PromptableSegmenter, dict[str, PromptableSegmenter]]:
    """A policy and a reference, of random weights whose masks are neither empty nor full."""
    policy, reference = tiny_segmenter(0), tiny_segmenter(1)
    with torch.no_grad():
        for network in (policy, reference):
            image = prompted()[None]
            image[:, 1:] = 0
            network.mask_decoder.mask_bias.bias.sub_(maker().inferer(image, network)[:, 0].median())
    return policy, {"reference": reference}


@pytest.fixture(scope="module")
def made(networks):
    return maker()(*networks, prompted(), key="a")


@torch.no_grad()
def ways(maker_: CandidateMaker, networks: tuple, image: torch.Tensor) -> list[str]:
    return [name for name, _, _ in maker_.variants(*networks, image[None], "a")]


def test_the_first_is_the_mask_that_the_network_gives_without_clicks(networks, made) -> None:
    masks, names, probability = made
    image = prompted()[None]
    image[:, 1:] = 0
    with torch.no_grad():
        expected = maker().inferer(image, networks[0])[0, 0].sigmoid().numpy()
    np.testing.assert_allclose(probability, expected, atol=1e-6)
    np.testing.assert_array_equal(masks[0], expected > 0.5)
    assert names[0] == CURRENT
    assert probability.dtype == np.float32


def test_they_differ(made) -> None:
    masks, names, _ = made
    assert masks.dtype == bool and masks.shape == (5, *SHAPE)
    assert len(set(names)) == len(names) == 5
    distances = jaccard_distances(masks)
    assert distances[~np.eye(5, dtype=bool)].min() > 0.01


def test_all_ways_of_making_them(networks) -> None:
    # At this threshold and radius the highest density of the image is a peak, whatever it is.
    all_ways = maker(count=30, min_distance=0.0, peak_threshold=-9.0, peak_radius=40)
    names = ways(all_ways, networks, prompted())
    assert names == [
        CURRENT,
        "threshold 0.4",
        "threshold 0.6",
        "brightness -0.8",
        "brightness +0.8",
        "gamma 0.6",
        "noise 0.3",
        "given clicks",
        "half of the given clicks",
        "clicks at density peaks",
        "zoom 0.75",
        "dropout 0.2",
        "mean of four turns",
        "reference",
    ]
    chosen = all_ways(*networks, prompted(), key="a")[1]
    assert {"given clicks", "dropout 0.2", "noise 0.3", "evolved contour", "reference"} <= set(chosen)
    assert set(chosen) <= {*names, "evolved contour"}


def test_without_clicks_no_variant_needs_them(networks) -> None:
    image = prompted()
    image[1:] = 0
    assert not [name for name in ways(maker(), networks, image) if "click" in name]


def test_one_key_gives_the_same_masks_and_another_gives_others(networks, made) -> None:
    torch.manual_seed(99)  # the global random numbers have no say
    again = maker()(*networks, prompted(), key="a")
    np.testing.assert_array_equal(again[0], made[0])
    assert again[1] == made[1]
    random = {"thresholds": (), "brightness": (), "gamma": (), "zoom": (), "turns": False, "contour_reach": 0}
    one, other = (maker(**random)(*networks, prompted(), key=key)[0] for key in "ab")
    assert one.shape != other.shape or (one != other).any()


def test_copies_are_never_chosen(networks) -> None:
    """Of a network and its copy, with nothing else to vary, one mask is left."""
    still = {"thresholds": (), "brightness": (), "gamma": (), "zoom": (), "noise": 0, "dropout": 0}
    image = prompted()
    image[1:] = 0
    masks, names, _ = maker(**still, turns=False, contour_reach=0, min_distance=0.0)(
        networks[0], {"copy": networks[0]}, image
    )
    assert (len(masks), names) == (1, [CURRENT])


@pytest.mark.parametrize("mode", [True, False])
def test_networks_are_asked_in_evaluation_mode_and_left_in_theirs(networks, mode) -> None:
    seen = []
    policy, reference = networks[0], networks[1]["reference"]
    policy.train(mode)
    reference.train(not mode)
    handles = [
        network.image_encoder.register_forward_hook(lambda module, *_: seen.append(module.training))
        for network in (policy, reference)
    ]
    maker(contour_reach=0)(*networks, prompted())
    for handle in handles:
        handle.remove()
    assert not any(seen) and len(seen) > 10
    assert (policy.training, reference.training) == (mode, not mode)


def test_mode_is_restored_after_a_failure(networks) -> None:
    policy = networks[0].train()
    with pytest.raises(ValueError, match="clicks fall in one window"):
        crowded = prompted()
        crowded[1] = 1
        maker()(*networks, crowded)
    assert policy.training
    policy.eval()


@pytest.mark.parametrize(
    ("setting", "text"),
    [({"count": 1}, "at least 2, got 1"), ({"thresholds": (0.3, 1.0)}, r"in \(0, 1\), got \[0.3, 1.0\]")],
)
def test_settings_that_cannot_be(setting, text) -> None:
    with pytest.raises(ValueError, match=text):
        maker(**setting)
