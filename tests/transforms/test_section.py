import pytest
import torch
from monai.data import MetaTensor

from bundle.keys import IMAGE
from bundle.transforms.section import SingleSectiond


@pytest.mark.parametrize("shape", [(1, 4, 3), (1, 4, 3, 1), (1, 4, 3, 1, 1)])
def test_axes_of_length_one_go_and_the_rest_stays(shape):
    image = MetaTensor(torch.arange(12.0).reshape(shape), meta={"filename_or_obj": "a.nii"})
    out = SingleSectiond()({IMAGE: image, "other": 1})
    assert out[IMAGE].shape == (1, 4, 3) and out[IMAGE][0, 2, 1] == 7 and out["other"] == 1
    assert out[IMAGE].meta["filename_or_obj"] == "a.nii"


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 4, 5, 2), (1, 4), (3, 4, 5, 1)])
def test_colours_and_stacks_are_refused(shape):
    with pytest.raises(ValueError, match="expected one gray section"):
        SingleSectiond()({IMAGE: torch.zeros(shape)})
