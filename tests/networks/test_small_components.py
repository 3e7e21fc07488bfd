"""TorchScript drops the components that the bundle's post-processing drops, and no other pixel."""

import numpy as np
import pytest
import torch

from bundle.metrics import label_instances
from bundle.networks.small_components import remove_small_components

SCRIPTED = torch.jit.script(remove_small_components)


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("min_size", [0, 1, 2, 5, 15])
@pytest.mark.parametrize("density", [0.1, 0.35, 0.5, 0.62, 0.97])
def test_drops_what_post_processing_drops(density, min_size, connectivity):
    """Dust, winding components near the density where all grow together, and holes."""
    rng = np.random.default_rng(int(100 * density))
    probability = torch.from_numpy(np.where(rng.random((3, 1, 61, 47)) < density, 0.9, 0.4).astype(np.float32))
    kept = SCRIPTED(probability, 0.5, min_size, connectivity)
    for before, after in zip(probability, kept, strict=True):
        expected = label_instances((before > 0.5).numpy(), min_size, connectivity) > 0
        np.testing.assert_array_equal((after > 0.5).numpy(), expected)
        torch.testing.assert_close(after[before <= 0.5], before[before <= 0.5])


@pytest.mark.parametrize("length", [14, 15, 16, 17, 30, 200])
@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("turned", [False, True])
def test_of_a_long_thin_component_all_or_nothing_stays(length, rows, turned):
    """A straight line, one that goes up and down, and pieces of three; highest number at either end."""
    probability = torch.zeros(1, 1, 5, 210)
    places = torch.arange(length)
    probability[0, 0, places % rows, places] = 1
    probability = torch.rot90(probability, 2 if turned else 0, [2, 3])
    kept = SCRIPTED(probability, 0.5, 15, 8)
    np.testing.assert_array_equal(kept[0] > 0, label_instances(probability[0] > 0, 15) > 0)
    assert (kept.max() > 0) == (length > 15 and rows < 3)


def test_images_of_a_batch_do_not_touch():
    probability = torch.zeros(2, 1, 4, 8)
    probability[0, 0, 3] = 1
    probability[1, 0, 0] = 1
    assert SCRIPTED(probability, 0.5, 8, 8).max() == 0
    assert torch.equal(SCRIPTED(probability, 0.5, 7, 8), probability)
