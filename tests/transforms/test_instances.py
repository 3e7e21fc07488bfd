import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle import keys
from bundle.transforms import LabelInstancesd
from tests.metrics.test_instances import MASK


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
