import numpy as np
import pytest

from bundle.synthetic.body import blob, fits, occupy, tube
from tests.synthetic.tissue import SHAPE, open_scene

MIDDLE = np.array(SHAPE) / 2


def straight(length, number=20):
    return np.stack([np.full(number, 1920.0), 2240 + np.linspace(-length / 2, length / 2, number)], axis=1)


@pytest.mark.parametrize("pixel_size", [5.0, 10.0, 20.0])
def test_area_of_a_tube_is_that_of_a_stadium(pixel_size):
    shape = tuple(int(n * 20 / pixel_size) for n in SHAPE)
    body = tube(open_scene(pixel_size, shape), straight(1500.0), np.full(20, 200.0))
    area = np.count_nonzero(body.depth > 0) * pixel_size**2
    assert area == pytest.approx(1500 * 400 + np.pi * 200**2, rel=0.03)
    assert body.depth.max() == pytest.approx(200.0, abs=pixel_size)


def test_coordinates_run_along_and_across():
    body = tube(open_scene(), straight(1500.0), np.full(20, 200.0))
    inside = body.depth > 0
    assert np.ptp(body.along[inside]) == pytest.approx(1900.0, abs=60)
    assert np.abs(body.across[inside]).max() == pytest.approx(200.0, abs=25)
    row = body.along[body.along.shape[0] // 2]
    assert (np.diff(row) > 0).all() or (np.diff(row) < 0).all()


def test_a_tube_beyond_the_image_is_none_and_one_across_the_edge_is_cut():
    scene = open_scene()
    assert tube(scene, np.array([[-3000.0, 100.0]]), np.array([200.0])) is None
    cut = tube(scene, np.array([[0.0, 2000.0]]), np.array([300.0]))
    assert np.count_nonzero(cut.depth > 0) * 400 == pytest.approx(np.pi * 300**2 / 2, rel=0.05)


def test_a_blob_has_its_size_and_a_rough_one_is_not_round():
    smooth = blob(open_scene(), MIDDLE * 20, 300.0, 1.0, 0.0)
    assert np.count_nonzero(smooth.depth > 0) * 400 == pytest.approx(np.pi * 300**2, rel=0.05)
    rough = blob(open_scene(), MIDDLE * 20, 300.0, 1.0, 0.3)
    assert (smooth.depth > 0).tolist() != (rough.depth > 0).tolist()


def test_ground_that_is_taken_does_not_fit_again():
    scene = open_scene()
    body = blob(scene, MIDDLE * 20, 300.0, 1.0, 0.0, margin=100.0)
    assert fits(scene, body, 15.0)
    occupy(scene, body)
    assert not fits(scene, body, 15.0)
    assert scene.room[tuple(MIDDLE.astype(int))] == 0
    assert scene.room[int(MIDDLE[0]), int(MIDDLE[1]) + 18] == pytest.approx(60.0, abs=25)
