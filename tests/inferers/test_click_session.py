import pytest
import torch

from bundle.inferers import ClickSession, PromptedSlidingWindowInferer
from bundle.networks import ConvEncoder, PromptableSegmenter

SIZE = (72, 56)
WINDOW = (32, 32)


class Counting(PromptableSegmenter):
    """A network that counts the windows it encodes and decodes."""

    encoded = decoded = 0

    def encode(self, image):
        self.encoded += len(image)
        return super().encode(image)

    def decode(self, embedding, fine, point_coords, point_labels):
        self.decoded += len(embedding)
        return super().decode(embedding, fine, point_coords, point_labels)


@pytest.fixture
def network():
    torch.manual_seed(0)
    decoder = {"upscaled_channels": [8, 8], "depth": 1, "num_heads": 2, "mlp_dim": 16, "detection_channels": 8}
    return Counting(ConvEncoder([8, 8, 16], [1, 1, 1]), max_points=6, decoder=decoder).eval()


def inferer(**changes):
    return PromptedSlidingWindowInferer(**{"roi_size": WINDOW, "overlap": 0.5, "max_points": 6, **changes})


def clicks(*points):
    """Clicks (channel, x, y)."""
    drawn = torch.zeros(2, *SIZE)
    for point in points:
        drawn[point] = 1
    return drawn


@pytest.mark.parametrize("rotations", [1, 4])
def test_answers_are_those_of_the_inferer(network, rotations):
    image, infers = torch.randn(1, *SIZE), inferer(rotations=rotations)
    session = ClickSession(network, infers, image)
    last = (0, 70, 3)
    for given in (clicks(), clicks((0, 40, 20)), clicks((0, 40, 20), (1, 4, 50), last), clicks(last), clicks()):
        with torch.inference_mode():
            expected = infers(torch.cat((image, given))[None], network)[0]
        torch.testing.assert_close(session.segment(given), expected, atol=1e-5, rtol=1e-4)
    assert not torch.equal(session.segment(clicks(last)), session.segment(clicks()))


def test_a_window_is_encoded_once_and_decoded_when_its_clicks_change(network):
    session = ClickSession(network, inferer(), torch.randn(1, *SIZE))
    session.segment(clicks())
    windows = network.encoded
    assert windows == network.decoded == 4 * 3
    session.segment(clicks((0, 1, 1)))  # a corner lies in one window
    assert network.decoded == windows + 1
    session.segment(clicks((0, 1, 1)))
    assert network.decoded == windows + 1
    session.segment(clicks((0, 1, 1), (1, 20, 20)))  # where four windows overlap
    assert network.decoded == windows + 1 + 4
    session.segment(clicks((0, 1, 1)))  # undone
    assert network.decoded == windows + 1 + 4 + 4
    assert network.encoded == windows


def test_answers_that_were_given_do_not_change_later(network):
    session = ClickSession(network, inferer(), torch.randn(1, *SIZE))
    given = clicks((0, 1, 1))
    first = session.segment(given)
    kept = first.clone()
    given[0, 1, 1] = 0  # the caller's tensor is not remembered either
    second = session.segment(given)
    torch.testing.assert_close(first, kept)
    assert not torch.equal(first, second)


def test_image_smaller_than_a_window(network):
    image, infers = torch.randn(1, 20, 24), inferer()
    given = torch.zeros(2, 20, 24)
    given[0, 3, 20] = 1
    with torch.inference_mode():
        expected = infers(torch.cat((image, given))[None], network)[0]
    torch.testing.assert_close(ClickSession(network, infers, image).segment(given), expected)


def test_a_network_in_training_is_put_to_evaluation(network):
    ClickSession(network.train(), inferer(), torch.randn(1, *SIZE))
    assert not network.training


@pytest.mark.parametrize(
    ("image", "given", "text"),
    [
        ((3, *SIZE), (2, *SIZE), r"image has the shape \(3, 72, 56\), expected \(1,X,Y\)"),
        ((1, *SIZE), (2, *SIZE[::-1]), r"clicks have the shape \(2, 56, 72\), expected \(2, 72, 56\)"),
    ],
)
def test_shapes_that_do_not_fit(network, image, given, text):
    with pytest.raises(ValueError, match=text):
        ClickSession(network, inferer(), torch.zeros(image)).segment(torch.zeros(given))


def test_too_many_clicks_in_a_window(network):
    session = ClickSession(network, inferer(), torch.randn(1, *SIZE))
    session.segment(clicks())
    with pytest.raises(ValueError, match="7 clicks fall in one window"):
        session.segment(clicks(*((0, 2, y) for y in range(7))))
    assert torch.isfinite(session.segment(clicks((0, 2, 2)))).all()
