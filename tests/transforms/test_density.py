import math

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from skimage.draw import disk

from bundle import keys as K
from bundle.transforms import InstanceTargetsd, density_map, instance_centres

SHAPE = (48, 80)


def ring() -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[disk((20, 24), 12)] = True
    mask[disk((20, 24), 8)] = False
    return mask


def crescent() -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[disk((24, 60), 14)] = True
    mask[disk((24, 65), 13)] = False
    return mask


def targets(mask: np.ndarray, **settings) -> dict:
    return InstanceTargetsd(**settings)({K.LABEL: torch.from_numpy(mask[None].astype(np.uint8) * 255)})


@pytest.mark.parametrize("shape", [ring, crescent])
def test_centre_of_a_hollow_shape_lies_inside_it(shape) -> None:
    mask = shape()
    centroid = np.argwhere(mask).mean(axis=0).round().astype(int)
    assert not mask[tuple(centroid)]  # or this test would say nothing
    (centre,) = instance_centres(mask.astype(int))
    assert mask[tuple(centre)]


def test_centre_is_the_pixel_nearest_to_the_centroid() -> None:
    instances = np.zeros(SHAPE, int)
    instances[10:15, 40:49] = 2  # centroid (12, 44)
    instances[3, 5:9] = 1  # centroid (3, 6.5): the first of two
    instances[47, 79] = 3
    assert instance_centres(instances).tolist() == [[3, 6], [12, 44], [47, 79]]


def test_no_instance_no_centre() -> None:
    assert instance_centres(np.zeros(SHAPE, int)).shape == (0, 2)
    assert not density_map(SHAPE, np.zeros((0, 2), int), 4.0).any()


def test_density_by_hand() -> None:
    density = density_map(SHAPE, np.array([[10, 20], [10, 30]]), sigma=3.0)
    assert density.dtype == np.float32
    assert density[10, 20] == density[10, 30] == 1
    assert density[13, 24] == pytest.approx(math.exp(-25 / 18))
    assert density[10, 24] == pytest.approx(math.exp(-16 / 18))  # of the nearer centre, not of the sum
    assert density.max() == 1


def test_every_instance_has_its_peak_of_1_inside_and_the_background_none() -> None:
    mask = ring() | crescent()
    mask[44:, :3] = True
    out = targets(mask, sigma=4.0)
    instances, density = out[K.INSTANCES][0].numpy(), out[K.DENSITY][0].numpy()
    assert instances.max() == 3
    assert [(density[instances == i] == 1).sum() for i in range(4)] == [0, 1, 1, 1]
    assert (density >= 0).all()


def test_mask_instances_and_density_stand_beside_each_other() -> None:
    mask = ring()
    out = InstanceTargetsd()({K.LABEL: MetaTensor(mask[None] * 255.0, meta={"filename_or_obj": "a.png"})})
    for key in (K.LABEL, K.INSTANCES, K.DENSITY):
        assert out[key].shape == (1, *SHAPE)
        assert out[key].dtype == torch.float32
        assert out[key].meta["filename_or_obj"] == "a.png"
    assert np.array_equal(out[K.LABEL][0].numpy(), mask.astype(np.float32))


@pytest.mark.parametrize(("connectivity", "count"), [(8, 1), (4, 2)])
def test_connectivity(connectivity, count) -> None:
    mask = np.zeros(SHAPE, bool)
    mask[2:5, 2:5] = mask[5:8, 5:8] = True  # touch at a corner
    assert targets(mask, connectivity=connectivity)[K.INSTANCES].max() == count


@pytest.mark.parametrize("settings", [{"connectivity": 6}, {"sigma": 0.0}])
def test_settings_out_of_range(settings) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(settings))} must be"):
        InstanceTargetsd(**settings)
