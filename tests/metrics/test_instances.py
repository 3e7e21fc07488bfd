import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle import keys
from bundle.metrics.instances import LabelInstancesd, label_instances

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


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8, torch.bool])
def test_transform_cleans_the_mask_and_keeps_its_metadata(dtype: torch.dtype) -> None:
    affine = torch.diag(torch.tensor([5.0, 5.0, 1.0, 1.0]))
    mask = MetaTensor(torch.from_numpy(MASK[None]).to(dtype), affine=affine, meta={"filename_or_obj": "a/b.png"})
    item = {keys.PRED: mask}
    result = LabelInstancesd(keys.PRED, keys.INSTANCES, min_size=2, connectivity=8)(item)
    expected = np.zeros((1, 4, 6))
    expected[0, :2, :2] = expected[0, 2, 2] = 1
    for key, out_type in ((keys.PRED, dtype), (keys.INSTANCES, torch.int32)):
        out = result[key]
        assert isinstance(out, MetaTensor)
        assert out.dtype == out_type
        assert out.meta["filename_or_obj"] == "a/b.png"
        assert torch.equal(out.affine, affine.to(out.affine))
        assert (out.numpy() == expected).all()
    assert item == {keys.PRED: mask}, "the item that came in is left alone"
    assert (mask.numpy() == MASK).all()


def test_transform_takes_numpy_and_several_keys() -> None:
    item = {"a": MASK[None].astype(np.uint8), "b": np.zeros((1, 4, 6), np.uint8)}
    result = LabelInstancesd(("a", "b"), ("ia", "ib"), min_size=0)(item)
    assert result["ia"].max() == 3
    assert result["ib"].max() == 0
    assert result["ia"].dtype == np.int32
    assert result["a"].dtype == np.uint8
