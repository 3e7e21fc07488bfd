import numpy as np
import pytest
import torch
from monai.transforms import RandSpatialCropd, SpatialPadd

from bundle import keys as K
from bundle.transforms import Compactd, InstanceTargetsd, RandCompactCropd

KEYS = [K.IMAGE, K.LABEL, K.INSTANCES, K.DENSITY]


def section(shape: tuple[int, int]) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(0)
    label = np.zeros(shape, np.float32)
    for x, y in rng.integers(0, np.subtract(shape, 6), (12, 2)):
        label[x : x + 6, y : y + 5] = 255
    image = (torch.from_numpy(rng.integers(0, 256, (1, *shape))).float() - 120) / 37
    return InstanceTargetsd(K.LABEL, sigma=3.0)({K.IMAGE: image, K.LABEL: torch.from_numpy(label)[None]})


@pytest.mark.parametrize("shape", [(70, 90), (20, 90), (20, 25)])
def test_crops_are_those_of_monai(shape) -> None:
    item = section(shape)
    pad = SpatialPadd(KEYS, (32, 40))
    theirs = RandSpatialCropd(KEYS, (32, 40), random_size=False).set_random_state(0)
    ours = RandCompactCropd(KEYS, (32, 40), sigma=3.0).set_random_state(0)
    compact = Compactd(KEYS)(item)
    for _ in range(8):
        expected, found = theirs(pad(item)), pad(ours(compact))
        for key in KEYS[:3]:
            assert torch.equal(torch.as_tensor(found[key]), torch.as_tensor(expected[key])), key
        torch.testing.assert_close(
            torch.as_tensor(found[K.DENSITY]), torch.as_tensor(expected[K.DENSITY]), rtol=0, atol=2e-8
        )


def test_a_section_of_8_bits_takes_little_more_than_a_byte_a_pixel() -> None:
    """400 sections of 4096 x 4096 in both domains: 800 of 16.8 million bytes, 13.4 GB, and 2.6 GB for all else."""
    shape = (1024, 1024)
    item = section(shape)
    source = Compactd(KEYS)(item)
    clicks = torch.zeros(2, *shape)
    clicks[0, ::64, ::64] = 1
    target = Compactd(K.IMAGE)({K.IMAGE: torch.cat((torch.as_tensor(item[K.IMAGE]), clicks))})
    took = sum(source[key].nbytes for key in KEYS) + target[K.IMAGE].nbytes
    assert 800 / 2 * (4096 / 1024) ** 2 * took < 16e9
