"""TorchScript for other programs answers as our inference does, though its axes are (y, x)."""

import numpy as np
import pytest
import torch
from monai.transforms import NormalizeIntensity

from bundle.inferers import PromptedSlidingWindowInferer
from bundle.metrics import label_instances
from bundle.networks.standalone import AutomaticSegmenter, InteractiveSegmenter, standardize, window_starts
from tests.networks.tiny import tiny_segmenter

WINDOW = (32, 24)
SIZES = [(32, 24), (20, 50), (61, 45), (75, 20)]
"""(X, Y): of a window, or smaller or larger in one direction or both, and no multiples of the stride."""


def inputs_of(width, height, clicks):
    """An image (2,1,X,Y) and clicks (2,2,X,Y), the same number of them in both images."""
    torch.manual_seed(width * height)
    image, drawn = 90 * torch.rand(2, 1, width, height) + 40, torch.zeros(2, 2, width, height)
    for i in range(clicks):
        drawn[0, i % 2, 3 + 4 * i, height - 5 - i] = drawn[1, 0, width - 4 - i, 2 + 3 * i] = 1
    return image, drawn


def segmenters(rotations=1, threshold=0.5, min_size=0):
    """Our inference as a function of images and clicks (B,C,X,Y), and the scripted module."""
    network = tiny_segmenter()
    inferer = PromptedSlidingWindowInferer(WINDOW, 0.5, 1, rotations, network.max_points)

    def ours(image, clicks):
        normalized = torch.stack([torch.as_tensor(NormalizeIntensity()(one)) for one in image])
        return inferer(torch.cat((normalized, clicks), dim=1), network)

    return ours, torch.jit.script(InteractiveSegmenter(network, WINDOW, 0.5, rotations, threshold, min_size))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("clicks", [0, 4])
@torch.no_grad()
def test_answers_as_inference_does(size, clicks):
    ours, scripted = segmenters()
    image, drawn = inputs_of(*size, clicks)
    expected = ours(image, drawn)
    probability, density = scripted(image.mT.contiguous(), drawn.mT.contiguous())
    torch.testing.assert_close(probability.mT, expected[:, :1].sigmoid(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(density.mT, expected[:, 1:].clamp(0, 1), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_rotations_are_averaged_as_inference_does():
    ours, scripted = segmenters(rotations=4)
    image, drawn = inputs_of(40, 30, 4)
    expected = ours(image, drawn)
    torch.testing.assert_close(scripted(image.mT, drawn.mT)[0].mT, expected[:, :1].sigmoid(), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_small_components_of_the_mask_have_the_probability_0():
    image, drawn = inputs_of(61, 45, 4)
    for min_size in (2, 15):
        ours, scripted = segmenters(threshold=0.45, min_size=min_size)
        masks = (ours(image, drawn)[:, :1].sigmoid() > 0.45).mT
        expected = np.stack([label_instances(mask, min_size) > 0 for mask in masks])
        probability, _ = scripted(image.mT.contiguous(), drawn.mT.contiguous())
        assert masks.sum() > expected.sum() > 0
        np.testing.assert_array_equal(probability > 0.45, expected)
        assert probability[masks.numpy() & ~expected].max() == 0


@torch.no_grad()
def test_clicks_change_the_mask_and_may_be_left_out():
    _, scripted = segmenters()
    image, drawn = (tensor.mT for tensor in inputs_of(40, 30, 4))
    without = scripted(image)[0]
    torch.testing.assert_close(scripted(image, torch.zeros_like(drawn))[0], without)
    assert (scripted(image, drawn)[0] - without).abs().max() > 1e-3


@torch.no_grad()
def test_automatic_is_interactive_without_clicks():
    image = inputs_of(40, 30, 0)[0].mT
    interactive = InteractiveSegmenter(tiny_segmenter(), WINDOW)
    automatic = torch.jit.script(AutomaticSegmenter(interactive))
    torch.testing.assert_close(automatic(image), interactive(image)[0])


def test_mean_and_variance_are_set_as_by_monai():
    torch.manual_seed(0)
    image = 7 + 3 * torch.rand(2, 1, 4, 5)
    expected = torch.stack([torch.as_tensor(NormalizeIntensity()(one)) for one in image])
    torch.testing.assert_close(standardize(image), expected)


def test_an_even_image_is_zero():
    assert torch.equal(standardize(torch.full((1, 1, 8, 8), 7.0)), torch.zeros(1, 1, 8, 8))


def test_more_clicks_than_a_window_takes_are_an_error():
    _, scripted = segmenters()
    image, drawn = inputs_of(*WINDOW, 0)
    drawn[1, 0, 4:11, 5] = 1  # 7, and the network takes 6
    with pytest.raises(torch.jit.Error, match=r"7 clicks fall in one window of 32 x 24 pixels"):
        scripted(image.mT, drawn.mT)


@pytest.mark.parametrize(
    ("length", "expected"), [(32, [0]), (33, [0, 1]), (48, [0, 16]), (75, [0, 16, 32, 43]), (80, [0, 16, 32, 48])]
)
def test_windows_cover_the_length(length, expected):
    assert window_starts(length, 32, 16) == expected
