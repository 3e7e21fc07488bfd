from dataclasses import replace

import numpy as np
import pytest

from bundle.synthetic.cells import paint_cells
from bundle.synthetic.microscope import expose
from bundle.synthetic.scene import Scene
from tests.synthetic.tissue import SHAPE, plain_tissue

STYLE = plain_tissue()


def take(seed=0, cells=None, **changes):
    """A picture of cells, as gray levels 0 to 1, and the scene."""
    scene = Scene(SHAPE, 20.0, np.random.default_rng(seed))
    found = paint_cells(scene, replace(STYLE.cells, size=1200.0, **(cells or {})), 0.0)
    return expose(scene, found, replace(STYLE.microscope, **changes)) / 255.0, scene


def test_contrast_and_brightness_are_those_of_the_picture():
    for contrast, brightness in ((1.0, 0.5), (0.4, 0.3)):
        picture, _ = take(contrast=contrast, brightness=brightness)
        low, high = np.percentile(picture, (0.5, 99.5))
        assert high - low == pytest.approx(contrast, abs=0.05)
        assert (high + low) / 2 == pytest.approx(brightness, abs=0.05)


def test_noise_has_its_strength():
    clean, _ = take(contrast=0.5)
    noisy, _ = take(contrast=0.5, noise=0.05)
    assert (noisy - clean).std() == pytest.approx(0.05, rel=0.1)


def test_blur_softens_and_local_contrast_sharpens():
    def steps(**changes):
        return np.abs(np.diff(take(**changes)[0])).mean()

    assert steps(blur=40.0) < steps() * 0.9
    assert steps(local_contrast=1.0, local_length=100.0, blur=20.0) > steps(blur=20.0)


def test_gamma_darkens_the_middle():
    mixed = {"level_spread": 0.1}
    assert take(gamma=1.6, cells=mixed)[0].mean() < take(gamma=1.0, cells=mixed)[0].mean() - 0.02


@pytest.mark.parametrize(
    ("kinds", "changes", "cells"),
    [
        ({"fold", "scratch"}, {"fold": 1.0}, {}),
        ({"dirt"}, {"dirt": 200.0}, {}),
        ({"charging"}, {"charging": 0.2}, {"empty_share": 0.4}),
        ({"stripes"}, {"stripes": 0.05}, {}),
    ],
)
def test_artefacts_appear_where_asked_for(kinds, changes, cells):
    clean, without = take(cells=cells)
    marked, scene = take(cells=cells, **changes)
    assert not kinds & set(without.painted)
    assert kinds & set(scene.painted)
    assert np.abs(marked - clean).max() > 0.05


def test_stripes_run_in_their_direction():
    picture, _ = take(stripes=0.1, stripe_direction=0.0, contrast=0.3)
    assert picture.mean(axis=1).std() > 3 * picture.mean(axis=0).std()
