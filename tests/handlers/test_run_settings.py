from pathlib import Path

import numpy as np
import pytest
from monai.transforms import NormalizeIntensityd, ScaleIntensityRangePercentilesd

from bundle.data import summarize_items
from bundle.handlers.run_settings import differences, flat


def scaling(upper):
    return ScaleIntensityRangePercentilesd("image", 0.5, upper, 0, 1, clip=True)


def test_settings_become_plain_values():
    found = flat({"a": {"b": 1, "c": [1, (2,)]}, "size": (32, 32), "p": Path("x"), "n": np.float64(2), "none": None})
    assert found == {"a.b": 1, "a.c.0": 1, "a.c.1": [2], "size": [32, 32], "p": "x", "n": 2.0, "none": None}
    assert type(found["n"]) is float


def test_transforms_are_compared_by_class_and_numbers():
    same = flat({"normalize": [scaling(99.5), NormalizeIntensityd("image")]})
    assert not differences(same, flat({"normalize": [scaling(99.5), NormalizeIntensityd("image")]}))
    (text,) = differences(same, flat({"normalize": [scaling(95.0), NormalizeIntensityd("image")]}))
    assert text == "normalize.0.scaler.upper 99.5, not 95.0"
    assert differences(same, flat({"normalize": [scaling(99.5)]}))


def test_settings_that_one_side_does_not_know_are_no_difference():
    assert differences({"a": 1, "old": 2}, {"a": 1, "new": 3}) == []
    assert differences({"w.seg": 1}, {"w.seg": 1, "w.det": 2}) == ["w.det None, not 2"]


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"image": "/moved/images/a.png"}, True),
        ({"image": "/data/images/b.png"}, False),
        ({"points": [[1, 3]]}, False),
        ({"complete": True}, False),
    ],
)
def test_summary_of_items_is_of_names_and_clicks(change, same):
    item = {"image": "/data/images/a.png", "points": [[1, 2]], "point_labels": [1], "complete": False}
    text = summarize_items([item])
    assert text.startswith("1 images, 1 clicks, ")
    assert (summarize_items([{**item, **change}]) == text) is same
