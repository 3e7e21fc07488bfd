import numpy as np
import pytest

from bundle.handlers.evaluation_pictures import FOREGROUND_CLICK
from bundle.handlers.instance_outlines import LONGEST, outlined


def yellow(picture):
    """(X,Y) bool: where the outlines are."""
    return (np.asarray(picture) == FOREGROUND_CLICK).all(axis=2).T


SIZES = {(400, 1000): (400, 1000), (90, 60): (720, 480), (5000, 300): (1666, 100)}


@pytest.mark.parametrize(("shape", "size"), SIZES.items())
def test_outlines_are_two_pixels_wide_at_any_size(shape, size):
    instances = np.zeros(shape, dtype=np.int32)
    instances[shape[0] // 2 :, : shape[1] // 2] = 7
    picture = outlined(np.random.default_rng(0).normal(size=shape), instances)
    assert picture.size == size and max(size) <= LONGEST and picture.mode == "RGB"
    xs, ys = np.nonzero(yellow(picture))
    assert abs(xs.min() - size[0] / 2) <= 2 and xs.max() == size[0] - 1
    assert abs(ys.max() - size[1] / 2) <= 2 and ys.min() == 0
    assert yellow(picture)[:, 0].sum() == yellow(picture)[-1].sum() == 2


def test_the_gray_image_shows_between_the_outlines():
    image = np.linspace(0, 60000, 900).repeat(900).reshape(900, 900).astype(np.uint16)
    instances = np.zeros((900, 900), dtype=np.int32)
    instances[100:300, 100:300] = 1
    rgb = np.asarray(outlined(image, instances)).transpose(1, 0, 2)
    assert (rgb[400:, :, 0] == rgb[400:, :, 2]).all()
    assert rgb[880, 450, 0] > 240 and rgb[20, 450, 0] < 15
    assert (rgb[150, 150] == rgb[150, 700]).all()


def test_each_instance_bears_its_number():
    instances = np.zeros((900, 900), dtype=np.int32)
    instances[100:300, 100:300] = 1
    instances[500:800, 500:800] = 23
    image = np.full((900, 900), 100.0)
    image[0, 0] = 0
    white = (np.asarray(outlined(image, instances)) > 180).all(axis=2).T
    assert white[190:210, 190:210].any() and white[640:660, 640:660].any()
    assert not white[310:490].any()
    assert white[640:660, 640:660].sum() > white[190:210, 190:210].sum()
