import numpy as np
import pytest

from bundle.data.pixels import LARGEST_PIXEL, check_finite
from bundle.errors import DataError


@pytest.mark.parametrize("pixels", [np.zeros((0, 3)), np.full((2, 3), LARGEST_PIXEL), np.array([[-3, 70000]])])
def test_what_can_be_normalised_is_let_through(pixels):
    check_finite(pixels, "a.png")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2 * LARGEST_PIXEL])
def test_the_first_pixel_that_cannot_be_is_named(value):
    pixels = np.zeros((4, 6), dtype=np.float64)
    pixels[1, 5] = pixels[3, 0] = value
    with pytest.raises(DataError, match=r"a\.tif: pixel \(1, 5\) is .*finite") as error:
        check_finite(pixels, "a.tif")
    assert "\n" not in str(error.value)
