from collections import Counter
from functools import lru_cache

import numpy as np
import pytest
from skimage.measure import label

from bundle.errors import DataError
from bundle.synthetic import random_style, render
from bundle.synthetic.microscope import expose
from bundle.synthetic.render import paint_section

SHAPE = (192, 224)
KINDS = {
    "mitochondrion", "crista", "membrane", "gap", "resin", "synapse", "myelin", "vessel", "blood cell", "fibril",
    "nucleus", "ribosomes", "filaments", "glycogen", "smooth reticulum", "rough reticulum", "vesicle", "lysosome",
    "multivesicular body", "lipid droplet", "peroxisome", "dense core", "vacuole", "whorl", "golgi", "dirt", "fold",
    "scratch", "charging", "stripes",
}  # fmt: skip


def draw(seed, shape=SHAPE, pixel_size=20.0):
    rng = np.random.default_rng(seed)
    return render(random_style(rng), shape, pixel_size, rng)


@lru_cache
def fifty():
    """Images and instances of 50 random styles, and the pixels of each kind of object."""
    painted, pictures = Counter(), []
    for seed in range(50):
        rng = np.random.default_rng(seed)
        style = random_style(rng)
        scene, cells = paint_section(style, SHAPE, 20.0, rng)
        pictures.append((expose(scene, cells, style.microscope), scene.instances))
        painted += scene.painted
    return pictures, painted


def test_every_kind_of_object_appears_over_fifty_styles():
    _, painted = fifty()
    assert {kind for kind in KINDS if painted[kind] < 1} == set()
    assert set(painted) <= KINDS


def test_images_are_bytes_that_use_their_range_and_instances_are_numbers():
    for image, instances in fifty()[0]:
        assert image.shape == instances.shape == SHAPE
        assert image.dtype == np.uint8
        assert instances.dtype == np.int32
        assert image.std() > 4
        assert np.mean((image == 0) | (image == 255)) < 0.3  # of bright empty resin
        parts = label(instances > 0, connectivity=2)
        assert parts.max() == instances.max()


def test_most_images_hold_mitochondria_and_they_differ_in_gray():
    pictures = fifty()[0]
    shares = [np.mean(instances > 0) for _, instances in pictures]
    assert np.mean(np.array(shares) > 0.01) > 0.85
    assert 0.04 < np.mean(shares) < 0.2
    contrasts = [
        (image[instances > 0].mean() - image[instances == 0].mean()) / image.std()
        for image, instances in pictures
        if instances.any()
    ]
    assert np.mean(np.array(contrasts) < 0) > 0.7
    assert np.std(contrasts) > 0.3


def test_the_same_seed_gives_the_same_image():
    for seed in range(3):
        assert all(np.array_equal(a, b) for a, b in zip(draw(seed), draw(seed), strict=True))
    assert not np.array_equal(draw(0)[0], draw(1)[0])


@pytest.mark.parametrize("pixel_size", [5.0, 8.0, 13.7, 40.0])
def test_any_pixel_size_is_rendered(pixel_size):
    for seed in range(4):
        image, instances = draw(seed, (96, 120), pixel_size)
        assert image.shape == instances.shape == (96, 120)
        assert image.std() > 2


@pytest.mark.parametrize("shape", [(32, 32), (33, 200), (300, 47)])
def test_any_shape_is_rendered(shape):
    assert draw(0, shape)[0].shape == shape


@pytest.mark.parametrize(
    ("shape", "pixel_size", "named"),
    [
        ((31, 64), 20.0, "shape"),
        ((64, 64, 64), 20.0, "shape"),
        ((64, 64), 0.0, "pixel_size"),
        ((64, 64), float("nan"), "pixel_size"),
    ],
)
def test_what_cannot_be_rendered_is_refused(shape, pixel_size, named):
    with pytest.raises(DataError, match=named):
        draw(0, shape, pixel_size)
