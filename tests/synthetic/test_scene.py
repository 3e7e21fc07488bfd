import numpy as np
import pytest

from bundle.synthetic.scene import level_lines
from tests.synthetic.tissue import open_scene


@pytest.mark.parametrize("length", [5.0, 60.0, 300.0])
def test_noise_is_correlated_over_its_length_in_nanometres(length):
    for pixel_size in (5.0, 20.0):
        field = open_scene(pixel_size, (400, 400)).noise(length)
        lag = round(2 * length / pixel_size)
        if lag >= 2:  # the correlation of a field that a Gaussian smooths falls to 1/e over twice its deviation
            found = np.mean(field[lag:] * field[:-lag]) / np.mean(field**2)
            assert np.exp(-1) - 0.25 < found < np.exp(-1) + 0.25


def test_noise_finer_than_a_pixel_is_averaged():
    assert open_scene(10.0).noise(20.0).std() == pytest.approx(1.0, abs=0.1)
    assert open_scene(40.0).noise(5.0).std() == pytest.approx(5 / np.hypot(5, 40 / 12**0.5), rel=0.1)


def test_noise_is_not_periodic():
    field = open_scene().noise(400.0)
    across = np.abs(field[:, 0] - field[:, -1]).mean()
    assert across > 3 * np.abs(field[:, 0] - field[:, 1]).mean()


@pytest.mark.parametrize("pixel_size", [5.0, 20.0, 40.0])
def test_a_line_holds_the_same_amount_of_stain_at_any_pixel_size(pixel_size):
    distance = (np.arange(2000) - 1000 + 0.3) * pixel_size
    for smear in (0.0, 60.0):
        stain = open_scene(pixel_size).line(distance, 10.0, smear).sum() * pixel_size
        assert stain == pytest.approx(10.0, rel=0.2)


def test_an_edge_is_half_covered_where_it_passes():
    cover = open_scene(20.0).cover(np.array([-30.0, -10.0, 0.0, 5.0, 30.0]))
    assert cover == pytest.approx([0, 0, 0.5, 0.75, 1])


def test_patches_cover_their_share():
    for share in (0.0, 0.1, 0.5):
        assert open_scene().patches(share, 200.0).mean() == pytest.approx(share, abs=0.02)


def test_lay_replaces_what_is_covered_in_the_window_alone():
    scene = open_scene(level=0.8)
    scene.lay(0.2, 0.5, (slice(0, 10), slice(0, 10)))
    assert scene.canvas[5, 5] == pytest.approx(0.5)
    assert scene.canvas[20, 20] == pytest.approx(0.8)


def test_level_lines_are_measured_in_nanometres():
    ramp = np.tile(np.arange(100, dtype=np.float32), (10, 1))
    distance, spacing = level_lines(ramp, 10.0, pixel_size=5.0)
    assert spacing[5, 50] == pytest.approx(50.0)
    assert distance[5, 50] == pytest.approx(0.0, abs=1e-3)
    assert distance[5, 53] == pytest.approx(15.0)


def test_counts_follow_the_area():
    scene = open_scene(20.0)
    numbers = [scene.count(50.0) for _ in range(300)]
    assert np.mean(numbers) == pytest.approx(50 * scene.area / 100, rel=0.1)
