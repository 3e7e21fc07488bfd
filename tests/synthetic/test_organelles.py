from dataclasses import replace

import numpy as np
import pytest

from bundle.synthetic.organelles import paint_organelles
from tests.synthetic.tissue import open_scene, plain_tissue

STYLE = plain_tissue().organelles
KINDS = {
    "lysosome": "lysosomes",
    "multivesicular body": "multivesicular_bodies",
    "lipid droplet": "lipid_droplets",
    "peroxisome": "peroxisomes",
    "dense core": "dense_cores",
    "vacuole": "vacuoles",
    "whorl": "whorls",
    "golgi": "golgi",
}


@pytest.mark.parametrize(("kind", "field"), KINDS.items())
@pytest.mark.parametrize("pixel_size", [5.0, 20.0, 40.0])
def test_each_kind_is_painted_at_any_pixel_size(kind, field, pixel_size):
    scene = open_scene(pixel_size)
    paint_organelles(scene, replace(STYLE, **{field: 4000 / scene.area}), 0.2)
    assert set(scene.painted) == {kind}
    assert scene.painted[kind] > 10
    assert np.abs(scene.canvas - 0.7).max() > 0.1


def test_none_is_painted_without_a_density_or_without_room():
    scene = open_scene()
    paint_organelles(scene, STYLE, 0.2)
    assert (scene.canvas == np.float32(0.7)).all()
    scene.room[:] = 0
    paint_organelles(scene, replace(STYLE, lysosomes=200.0), 0.2)
    assert not scene.painted


def test_bodies_keep_apart():
    scene = open_scene()
    paint_organelles(scene, replace(STYLE, lipid_droplets=150.0, lysosomes=150.0), 0.2)
    taken = np.count_nonzero(scene.room == 0)
    assert taken == pytest.approx(scene.painted["lipid droplet"] + scene.painted["lysosome"], abs=2)


def test_a_lipid_droplet_is_smooth_and_of_its_level():
    scene = open_scene()
    paint_organelles(scene, replace(STYLE, lipid_droplets=60.0, size=700.0), 0.2)
    inside = scene.canvas[scene.canvas < 0.35]
    assert inside.size > 500
    assert np.median(inside) == pytest.approx(0.1, abs=0.08)
