import json

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from torch.nn import functional as F

from bundle.preferences.candidates import (
    Brightness,
    DensityPeaks,
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
from bundle.preferences.candidates.contour_evolution import evolve_mask
from bundle.preferences.candidates.variants import DroppedFeatures, Original
from tests.integration.commands import ROOT
from tests.preferences.candidates.conftest import maker, prompted, roles


@pytest.fixture
def original(networks) -> Original:
    """An image with four clicks, and what the network makes of it without them."""
    with torch.no_grad():
        return maker().original(*roles(networks), prompted()[None], "a")


@torch.no_grad()
def made(variant, original: Original) -> dict[str, np.ndarray]:
    found = list(variant(original))
    for _, mask in found:
        assert mask.shape == original.image.shape[2:] and mask.dtype == bool
    return dict(found)


@torch.no_grad()
def segmented(original: Original, em: torch.Tensor, clicks: torch.Tensor | None = None, network=None) -> np.ndarray:
    """The mask of an EM (1,1,X,Y) with clicks (1,2,X,Y), written out."""
    image = torch.cat((em, torch.zeros_like(original.image[:, 1:]) if clicks is None else clicks), dim=1)
    return (original.inferer(image, network or original.network)[0, 0].sigmoid() > 0.5).numpy()


def same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(found) == list(expected)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_thresholds_cut_the_probability(original) -> None:
    probability = original.pred[0, 0].sigmoid().numpy()
    same(made(Thresholds([0.4, 0.6]), original), {f"threshold {t}": probability > t for t in (0.4, 0.6)})
    with pytest.raises(ValueError, match=r"in \(0, 1\), got \[0.3, 1.0\]"):
        Thresholds([0.3, 1.0])


def test_gray_values(original) -> None:
    em = original.image[:, :1]
    brighter = {"brightness -0.8": segmented(original, em - 0.8), "brightness +0.4": segmented(original, em + 0.4)}
    same(made(Brightness([-0.8, 0.4]), original), brighter)
    bent = ((em - em.min()) / (em.max() - em.min())) ** 1.6
    same(made(Gamma([1.6]), original), {"gamma 1.6": segmented(original, (bent - bent.mean()) / bent.std())})


def test_clicks(original) -> None:
    em, clicks = original.image[:, :1], original.image[:, 1:]
    same(made(GivenClicks(), original), {"given clicks": segmented(original, em, clicks)})
    # At this threshold and radius the highest density of the image is a peak, whatever it is.
    place = int(original.pred[0, 1].argmax())
    with_peak = clicks.clone()
    with_peak[0, 0].view(-1)[place] = 1
    peaks = made(DensityPeaks(-9.0, 40), original)
    same(peaks, {"clicks at density peaks": segmented(original, em, with_peak)})
    assert made(DensityPeaks(9.0, 4), original) == {}
    assert made(DensityPeaks(-9.0, 0), original) == {}  # more clicks than the network takes


def test_without_clicks_none_are_given(original) -> None:
    bare = Original(**{**vars(original), "image": original.bare})
    assert made(GivenClicks(), bare) == made(HalfOfGivenClicks(), bare) == {}


def test_sizes_turns_and_other_networks(original) -> None:
    em = original.image[:, :1]
    with torch.no_grad():
        small = original.inferer(F.interpolate(original.bare, scale_factor=0.75, mode="bilinear"), original.network)
        back = F.interpolate(small, em.shape[2:], mode="bilinear")[0, 0].sigmoid() > 0.5
        turns = [original.inferer(torch.rot90(original.bare, k, (2, 3)), original.network) for k in range(4)]
        mean = torch.stack([torch.rot90(turned, -k, (2, 3)) for k, turned in enumerate(turns)]).mean(dim=0)
    same(made(Zoom([0.75]), original), {"zoom 0.75": back.numpy()})
    same(made(Turns(), original), {"mean of four turns": (mean[0, 0].sigmoid() > 0.5).numpy()})
    other = original.others["reference"]
    same(made(OtherNetworks(), original), {"reference": segmented(original, em, network=other)})


def test_evolved_contour(original) -> None:
    expected = evolve_mask(original.image[0, 0].numpy(), (original.pred[0, 0].sigmoid() > 0.5).numpy(), reach=4.0)
    same(made(EvolvedContour(4.0), original), {"evolved contour": expected})


def test_random_numbers_are_drawn_one_after_another_from_those_of_the_key(original) -> None:
    """So that the candidates of a seed stay the same from release to release."""
    em, clicks = original.image[:, :1], original.image[:, 1:]
    random = torch.Generator().set_state(original.random.get_state())
    noise = torch.randn(em.shape, generator=random)
    half = clicks * (torch.rand(clicks.shape, generator=random) < 0.5)
    dropped = DroppedFeatures(original.network, 0.2, random)
    same(made(Noise(0.3), original), {"noise 0.3": segmented(original, em + 0.3 * noise)})
    same(made(HalfOfGivenClicks(), original), {"half of the given clicks": segmented(original, em, half)})
    same(made(Dropout(0.2), original), {"dropout 0.2": segmented(original, em, network=dropped)})


class Opposite:
    """A way of somebody else."""

    def __call__(self, original: Original):
        yield "opposite", ~(original.pred[0, 0].sigmoid() > 0.5).numpy()


def test_a_new_way_is_one_line_of_a_configuration(tmp_path) -> None:
    overlay = tmp_path / "opposite.json"
    overlay.write_text(json.dumps({"+variants": [{"_target_": f"{__name__}.Opposite"}], "pixel_size": 20}))
    parser = ConfigParser()
    parser.read_config([*(str(ROOT / "configs" / name) for name in ("train.json", "prefer.json")), str(overlay)])
    *ours, last = parser.get_parsed_content("questionnaire#maker").variants
    assert len(ours) == 12 and type(last) is Opposite
