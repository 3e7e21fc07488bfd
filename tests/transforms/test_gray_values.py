import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from bundle.errors import SettingError
from bundle.transforms import MatchGrayValuesd


@pytest.fixture
def references(tmp_path):
    """Two images of 40 to 79 and 80 to 119, together even from 40 to 119."""
    for name, first in (("a", 40), ("b", 80)):
        rows = np.repeat(np.arange(first, first + 40, dtype=np.uint8)[None], 30, axis=0)
        Image.fromarray(rows).save(tmp_path / f"{name}.png")
    return [str(tmp_path / "a.png"), str(tmp_path / "b.png")]


def test_gray_values_become_those_of_all_references(references):
    image = MetaTensor(torch.randn(1, 60, 44), meta={"filename_or_obj": "x.png"})
    before = image.clone()
    matched = MatchGrayValuesd("image", references)({"image": image})["image"]
    assert matched.shape == image.shape and matched.meta["filename_or_obj"] == "x.png"
    shares = torch.tensor([0.1, 0.25, 0.5, 0.75, 0.9])
    expected = torch.quantile(torch.arange(40.0, 120.0), shares)
    torch.testing.assert_close(torch.quantile(matched.as_tensor().ravel(), shares), expected, atol=1.5, rtol=0)
    order = image.as_tensor().ravel().argsort()
    assert (matched.as_tensor().ravel()[order].diff() >= 0).all(), "the order of the pixels stays"
    torch.testing.assert_close(image, before)


def test_no_references_are_refused():
    with pytest.raises(SettingError, match="references is empty"):
        MatchGrayValuesd("image", [])
