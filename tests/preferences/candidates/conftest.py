"""An image with clicks, two networks and a maker of candidates."""

import pytest
import torch

from bundle.inferers import PromptedSlidingWindowInferer
from bundle.preferences.candidates import (
    Brightness,
    CandidateMaker,
    Dropout,
    EvolvedContour,
    Gamma,
    GivenClicks,
    HalfOfGivenClicks,
    Noise,
    OtherNetworks,
    Thresholds,
    Turns,
    Zoom,
)
from tests.networks.tiny import tiny_segmenter

SHAPE = (40, 24)  # more than a window, and not square
VARIANTS = (
    Thresholds((0.4, 0.6)),
    Brightness((-0.8, 0.8)),
    Gamma((0.6,)),
    Noise(0.3),
    GivenClicks(),
    HalfOfGivenClicks(),
    Zoom((0.75,)),
    Dropout(0.2),
    Turns(),
    OtherNetworks(),
    EvolvedContour(4.0),
)


def maker(*variants, **changes) -> CandidateMaker:
    inferer = PromptedSlidingWindowInferer([24, 24], overlap=0.25, max_points=6)
    return CandidateMaker(inferer, variants or VARIANTS, **{"count": 5, **changes})


def prompted(seed: int = 0) -> torch.Tensor:
    """An image with four clicks."""
    image = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(seed))
    image[1:] = 0
    image[1, 3, 5] = image[1, 30, 20] = image[1, 12, 12] = image[2, 20, 4] = 1
    return image


def roles(networks: dict) -> tuple:
    """The policy, and the other networks by name, as a maker takes them."""
    others = dict(networks)
    return others.pop("policy"), others


@pytest.fixture(scope="module")
def networks() -> dict:
    """Random weights whose masks are neither empty nor full."""
    found = {"policy": tiny_segmenter(0), "reference": tiny_segmenter(1)}
    with torch.no_grad():
        for network in found.values():
            image = prompted()[None]
            image[:, 1:] = 0
            network.mask_decoder.mask_bias.bias.sub_(maker().inferer(image, network)[:, 0].median())
    return found
