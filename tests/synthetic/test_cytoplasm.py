from dataclasses import replace

import numpy as np
import pytest

from bundle.synthetic.cells import PLAIN, paint_cells
from bundle.synthetic.cytoplasm import paint_cytoplasm
from bundle.synthetic.scene import Scene
from tests.synthetic.tissue import SHAPE, plain_tissue

STYLE = plain_tissue()


def paint(pixel_size=20.0, size=3000.0, seed=0, **changes):
    """The canvas before and after."""
    scene = Scene(SHAPE, pixel_size, np.random.default_rng(seed))
    cells = paint_cells(scene, replace(STYLE.cells, size=size), 0.0)
    before = scene.canvas.copy()
    paint_cytoplasm(scene, cells, replace(STYLE.cytoplasm, **changes), 0.2)
    return scene, cells, before


def test_without_anything_the_cytoplasm_is_even():
    scene, _, before = paint()
    assert np.array_equal(scene.canvas, before)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("ribosomes", {"ribosomes": 0.2}),
        ("filaments", {"filaments": 0.2, "filament_period": 100.0}),
        ("glycogen", {"glycogen": 0.3}),
        ("smooth reticulum", {"reticulum": 0.3}),
        ("rough reticulum", {"rough_share": 0.5, "rough_period": 150.0}),
        ("vesicle", {"vesicles": 200.0, "vesicle_share": 0.5}),
    ],
)
def test_each_thing_is_painted_dark_and_within_cells(kind, changes):
    scene, cells, before = paint(**changes)
    assert scene.painted[kind] > 50
    differs = np.abs(scene.canvas - before) > 0.02
    assert differs.sum() > 50
    assert (scene.canvas - before)[differs].mean() < 0
    assert not (differs & ~cells.of_kind(PLAIN)).any()


def test_grain_has_its_strength_and_its_length():
    fine, _, before = paint(grain=0.05, grain_length=25.0)
    assert (fine.canvas - before)[fine.room > 100].std() == pytest.approx(0.05, rel=0.6)
    coarse, _, _ = paint(mottle=0.05, mottle_length=200.0)
    step = np.abs(np.diff(coarse.canvas, axis=0))[coarse.room[1:] > 100].mean()
    assert step < 0.3 * np.abs(np.diff(fine.canvas, axis=0))[fine.room[1:] > 100].mean()


def test_vesicles_are_rings_of_their_size():
    scene, _, before = paint(pixel_size=4.0, vesicles=80.0, vesicle_share=1.0, vesicle_size=60.0, vesicle_level=0.2)
    change = scene.canvas - before
    assert change.min() < -0.2  # membrane
    assert change.max() > 0.1  # inside
