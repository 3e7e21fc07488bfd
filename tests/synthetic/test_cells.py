from dataclasses import replace

import numpy as np
import pytest

from bundle.synthetic.cells import DARK, EMPTY, FIBRIL, PLAIN, VESSEL, paint_cells
from bundle.synthetic.scene import Scene
from tests.synthetic.tissue import SHAPE, plain_tissue

STYLE = plain_tissue().cells


def paint(pixel_size=20.0, seed=0, shape=SHAPE, slant=0.0, **changes):
    scene = Scene(shape, pixel_size, np.random.default_rng(seed))
    return scene, paint_cells(scene, replace(STYLE, **changes), slant)


@pytest.mark.parametrize("size", [400.0, 900.0])
def test_cells_have_the_size_that_is_asked_for(size):
    _, cells = paint(size=size, shape=(300, 300))
    areas = np.bincount(cells.owner.ravel()) * 0.02**2
    assert np.median(areas[areas > 0]) == pytest.approx(np.pi * (size / 2000) ** 2, rel=0.35)


def test_depth_is_the_distance_to_the_membrane():
    _, cells = paint(size=1500.0, gap=0.0, rounding=1.0, pixel_size=10.0)
    edge = np.abs(np.diff(cells.owner, axis=1)) > 0
    assert np.abs(cells.depth[:, 1:][edge]).mean() < 12
    slopes = np.hypot(*np.gradient(cells.depth, 10.0))
    assert np.median(slopes) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("pixel_size", [10.0, 20.0])
def test_membranes_are_dark_lines_of_their_level(pixel_size):
    scene, cells = paint(pixel_size, size=1500.0, membrane_width=30.0)
    line = scene.canvas[np.abs(cells.depth - 15) < 4]
    assert line.mean() < 0.4
    assert scene.canvas[cells.depth > 200].min() > 0.65


def test_elongated_cells_lie_along_their_direction():
    _, cells = paint(size=800.0, elongation=5.0, direction=0.0)
    rows, columns = np.gradient(cells.depth)
    assert np.abs(rows).mean() > 2 * np.abs(columns).mean()


def test_kinds_are_drawn_by_their_share():
    shares = {"dark_share": DARK, "fibril_share": FIBRIL, "empty_share": EMPTY}
    for name, kind in shares.items():
        _, cells = paint(size=300.0, **{name: 0.4})
        assert np.mean(cells.of_kind(kind)[cells.depth > 0]) == pytest.approx(0.4, abs=0.2)
    _, cells = paint(size=4000.0, vessel_share=1.0)
    assert (cells.kind == VESSEL).any()
    _, cells = paint(size=600.0)
    assert set(cells.kind) == {PLAIN}


def test_joined_cells_have_no_membrane_between_them():
    alone, _ = paint(size=600.0)
    joined, _ = paint(size=600.0, merging=0.6)
    assert joined.painted["membrane"] < 0.95 * alone.painted["membrane"]


def test_a_slanted_membrane_is_wide_and_faint():
    sharp, cells = paint(size=1500.0, pixel_size=10.0)
    smeared, _ = paint(size=1500.0, pixel_size=10.0, slant=80.0)
    line = np.abs(cells.depth - 5) < 5
    assert smeared.canvas[line].mean() > sharp.canvas[line].mean() + 0.05


def test_myelin_is_dark_around_a_cell_and_keeps_organelles_out():
    scene, cells = paint(size=1200.0, myelin_share=1.0, myelin_thickness=150.0)
    sheath = (cells.depth > 30) & (cells.depth < 120)
    assert scene.canvas[sheath].mean() < 0.35
    assert scene.canvas[cells.depth > 250].mean() > 0.6
    assert scene.room[sheath].max() == 0


def test_room_is_only_where_organelles_may_be():
    scene, cells = paint(size=500.0, empty_share=0.3, fibril_share=0.3)
    assert scene.room[~cells.of_kind(PLAIN, DARK)].max() == 0
    assert scene.room[cells.of_kind(PLAIN)].max() > 50


def test_open_tissue_has_wide_spaces_of_their_level():
    scene, cells = paint(size=900.0, gap=200.0, bulge=200.0, gap_level=0.95)
    between = cells.depth < -30
    assert 0.1 < between.mean() < 0.9
    assert scene.canvas[between].mean() == pytest.approx(0.95, abs=0.03)
