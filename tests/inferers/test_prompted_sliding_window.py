import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bundle.inferers import PromptedSlidingWindowInferer
from bundle.inferers.prompted_sliding_window import most_clicks
from bundle.networks import ConvEncoder, PromptableSegmenter


class Recorder(nn.Module):
    """Takes its windows down and answers with the clicks."""

    def __init__(self, stride=1):
        super().__init__()
        self.stride = stride
        self.windows = []

    def forward(self, x):
        self.windows += list(x.clone())
        return x[:, 1:]


def _image(height, width, foreground=(), background=()):
    x = torch.zeros(1, 3, height, width)
    x[:, 0] = torch.rand(height, width) + 1
    for channel, points in ((1, foreground), (2, background)):
        for point in points:
            x[0, channel, point[0], point[1]] = 1
    return x


def test_most_clicks_counted_by_hand():
    x = _image(6, 10, foreground=[(0, 0), (2, 2)], background=[(0, 3), (5, 9)])[:, 1:]
    assert most_clicks(x, (1, 1)) == 1
    assert most_clicks(x, (3, 3)) == 2  # (0,0) and (2,2)
    assert most_clicks(x, (1, 4)) == 2  # (0,0) and (0,3)
    assert most_clicks(x, (4, 1)) == 1
    assert most_clicks(x, (3, 4)) == 3
    assert most_clicks(x, (99, 99)) == 4
    assert most_clicks(torch.zeros(1, 2, 6, 10), (3, 3)) == 0


def test_fullest_image_of_a_batch_counts():
    x = torch.cat((_image(6, 6, [(1, 1)]), _image(6, 6, [(1, 1), (2, 2), (3, 1)])))[:, 1:]
    assert most_clicks(x, (3, 3)) == 3


def test_window_that_covers_the_image_is_the_network_itself():
    torch.manual_seed(0)
    decoder = {"upscaled_channels": [8, 8], "depth": 1, "num_heads": 2, "mlp_dim": 8, "detection_channels": 8}
    network = PromptableSegmenter(ConvEncoder([8, 8, 8], [1, 1, 1]), max_points=4, decoder=decoder).eval()
    x = _image(32, 48, [(3, 40)], [(20, 7)])
    with torch.no_grad():
        out = PromptedSlidingWindowInferer([32, 48], max_points=4)(x, network)
        torch.testing.assert_close(out, network(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rotations", [1, 4])
@pytest.mark.parametrize("window", [[8, 8], [8, 12], [64, 64]])
def test_clicks_come_out_where_they_went_in(window, rotations):
    x = _image(20, 37, [(0, 36), (19, 0), (11, 23)], [(5, 30)])
    out = PromptedSlidingWindowInferer(window, overlap=0.5, rotations=rotations)(x, Recorder())
    torch.testing.assert_close(out, x[:, 1:], rtol=0, atol=1e-6)


def test_padding_brings_no_further_clicks_and_no_brightness():
    network = Recorder()
    PromptedSlidingWindowInferer([16, 16])(_image(5, 9, [(0, 0), (4, 8)]), network)
    (window,) = network.windows
    assert window.shape == (3, 16, 16)
    assert window[1].sum() == 2 and window[2].sum() == 0
    assert (window[0] > 0).sum() == 5 * 9


def test_rotations_change_nothing_for_a_network_that_turns_with_the_image():
    x = _image(24, 24, [(3, 20)])
    x[:, 0] = torch.rand(24, 24)

    def blur(x):
        return F.avg_pool2d(x[:, :2], 3, stride=1, padding=1)

    once = PromptedSlidingWindowInferer([24, 24])(x, blur)
    turned = PromptedSlidingWindowInferer([24, 24], rotations=4)(x, blur)
    torch.testing.assert_close(turned, once, rtol=1e-5, atol=1e-6)


def test_rotations_average_over_four_turns():
    def corner(x):
        out = torch.zeros_like(x[:, :2])
        out[:, :, 0, 0] = 4.0
        return out

    out = PromptedSlidingWindowInferer([6, 6], rotations=4)(torch.zeros(1, 3, 6, 6), corner)
    expected = torch.zeros(6, 6)
    expected[[0, 0, 5, 5], [0, 5, 0, 5]] = 1.0
    torch.testing.assert_close(out[0, 0], expected)


def test_too_many_clicks_are_refused_before_work():
    x, network = _image(20, 20, [(1, 1), (2, 2), (3, 3)]), Recorder()
    with pytest.raises(ValueError, match=r"3 clicks .* at most 2"):
        PromptedSlidingWindowInferer([8, 8], max_points=2)(x, network)
    assert not network.windows
    PromptedSlidingWindowInferer([8, 8], max_points=3)(x, network)
    assert max(window[1:].sum() for window in network.windows) <= 3


def test_a_turned_image_may_crowd_a_window_that_is_not_square():
    x, network = _image(16, 16, [(0, 0), (7, 0), (15, 0)]), Recorder()
    PromptedSlidingWindowInferer([4, 16], max_points=1)(x, network)
    network.windows.clear()
    with pytest.raises(ValueError, match="3 clicks"):
        PromptedSlidingWindowInferer([4, 16], max_points=1, rotations=4)(x, network)
    assert not network.windows


def test_window_that_the_stride_does_not_divide_is_refused_before_work():
    network = Recorder(stride=8)
    with pytest.raises(ValueError, match=r"\[16, 20\] must be multiples of 8"):
        PromptedSlidingWindowInferer([16, 20])(_image(20, 20), network)
    assert not network.windows


@pytest.mark.parametrize(
    ("options", "words"),
    [({"rotations": 2}, "1 or 4"), ({"roi_size": [0, 8]}, "above 0"), ({"roi_size": [8]}, "two numbers")],
)
def test_malformed_options(options, words):
    with pytest.raises(ValueError, match=words):
        PromptedSlidingWindowInferer(**({"roi_size": [8, 8]} | options))
