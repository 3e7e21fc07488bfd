from dataclasses import replace

import numpy as np

from bundle.synthetic.nuclei import paint_nuclei
from bundle.synthetic.render import paint_section
from tests.synthetic.tissue import changed, plain_tissue

STYLE = changed(plain_tissue(), cells={"size": 5000.0})
SHAPE = (256, 256)


def paint(share, size=5000.0, **changes):
    scene, cells = paint_section(changed(STYLE, cells={"size": size}), SHAPE, 30.0, np.random.default_rng(3))
    room, before = scene.room.copy(), scene.canvas.copy()
    nucleus = replace(STYLE.nuclei, level=0.75, chromatin=-0.3, rim=500.0, envelope_gap=35.0, **changes)
    paint_nuclei(scene, cells, nucleus, share, 0.2)
    return scene, room, before


def test_large_cells_have_a_nucleus_and_small_ones_none():
    assert paint(1.0)[0].painted["nucleus"] > 1000
    assert paint(0.0)[0].painted["nucleus"] == 0
    assert paint(1.0, size=900.0)[0].painted["nucleus"] == 0


def test_a_nucleus_keeps_its_distance_from_the_membrane_and_organelles_out():
    scene, room, before = paint(1.0)
    differs = np.abs(scene.canvas - before) > 0.05
    assert room[differs].min() > 100
    deep = differs & (room > 1200)
    assert deep.any()
    assert np.mean(scene.room[deep] == 0) > 0.98  # all but the outer membrane


def test_chromatin_and_envelope_are_darker_than_the_nucleoplasm():
    scene, _, _ = paint(1.0)
    taken = scene.room == 0
    assert np.quantile(scene.canvas[taken], 0.05) < 0.5 < np.quantile(scene.canvas[taken], 0.9)


def test_a_nucleus_does_not_fill_the_image_of_a_huge_cell():
    scene, _, _ = paint(1.0, size=60_000.0)
    assert (scene.room > 0).any()
