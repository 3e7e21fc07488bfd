import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.metrics.instances import label_instances

MASK = np.array(
    [
        [1, 1, 0, 0, 0, 1],
        [1, 1, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 1, 1],
    ]
)  # a square with a pixel at its corner (5 px together), a lone pixel, a pair


@pytest.mark.parametrize(("connectivity", "sizes"), [(8, [5, 1, 2]), (4, [4, 1, 1, 2])])
def test_connectivity_decides_whether_corners_join(connectivity: int, sizes: list[int]) -> None:
    instances = label_instances(MASK, connectivity=connectivity)
    assert instances.dtype == np.int32
    assert np.bincount(instances.ravel())[1:].tolist() == sizes
    assert ((instances > 0) == (MASK > 0)).all()


@pytest.mark.parametrize(("min_size", "sizes"), [(0, [5, 1, 2]), (1, [5, 2]), (2, [5]), (5, [])])
def test_components_of_min_size_or_fewer_are_dropped_and_the_rest_numbered_without_gaps(
    min_size: int, sizes: list[int]
) -> None:
    assert np.bincount(label_instances(MASK, min_size).ravel())[1:].tolist() == sizes


def test_channel_axis_and_tensors_are_taken_as_they_are() -> None:
    for mask in (MASK[None], torch.from_numpy(MASK[None]).bool(), MetaTensor(MASK[None] * 255.0)):
        instances = label_instances(mask, 1)
        assert instances.shape == (1, 4, 6)
        assert (instances[0] == label_instances(MASK, 1)).all()


def test_what_is_no_single_image_or_no_connectivity_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 4, 6\)"):
        label_instances(np.stack([MASK, MASK]))
    with pytest.raises(ValueError, match="connectivity is 6"):
        label_instances(MASK, connectivity=6)
