import numpy as np
import pytest

from bundle.data.resampling import resampled, resampled_points, resampled_size
from bundle.errors import DataError


def test_a_size_is_rounded_and_never_nothing():
    assert resampled_size((90, 141), 8 / 20) == (36, 56)
    assert resampled_size((1, 3), 0.01) == (1, 1)


def test_what_would_fill_the_memory_is_refused():
    with pytest.raises(DataError, match="30000 x 30000 pixels become 300000 x 300000"):
        resampled_size((30_000, 30_000), 10.0)


def test_whole_numbers_stay_whole_and_a_mean_stays():
    section = np.random.default_rng(0).integers(0, 250, (60, 40)).astype(np.uint16)
    small = resampled(section, (24, 16))
    assert small.dtype == np.uint16 and small.shape == (24, 16)
    assert abs(small.mean() - section.mean()) < 2
    assert resampled(section, (60, 40)) is section


def test_fine_stripes_do_not_alias():
    stripes = np.tile(np.array([0, 255], np.uint8), (40, 20))
    assert resampled(stripes, (16, 16)).std() < 40


def test_a_point_stays_in_its_place():
    assert resampled_points([[0, 0], [89, 49], [44, 24]], (90, 50), (36, 20)) == [[0, 0], [35, 19], [17, 9]]
    assert resampled_points([[0, 0], [35, 19]], (36, 20), (90, 50)) == [[1, 1], [88, 48]]
