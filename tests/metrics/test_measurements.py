import math

import numpy as np
import pytest
from skimage.draw import disk, ellipse

from bundle.errors import SettingError
from bundle.metrics.measurements import COLUMNS, measure_instances


@pytest.fixture
def drawn():
    """A disc of radius 20 at (50, 30), an ellipse of 30 by 10 at (120, 60), and a block in a corner; (X,Y)."""
    instances = np.zeros((160, 100), dtype=np.int32)
    instances[disk((50, 30), 20)] = 1
    instances[ellipse(120, 60, 30, 10)] = 2
    instances[150:, 90:] = 3
    return instances


@pytest.mark.parametrize("pixel_size", [5.0, 20.0])
def test_sizes_are_those_of_the_shapes(drawn, pixel_size):
    table = measure_instances(drawn, np.zeros(drawn.shape), pixel_size, "a.png")
    assert tuple(table.columns) == COLUMNS
    assert table["image"].tolist() == ["a.png"] * 3 and table["instance"].tolist() == [1, 2, 3]
    um = pixel_size / 1000
    disc, oval, block = (table.iloc[i] for i in range(3))
    assert disc["area_um2"] == pytest.approx(math.pi * (20 * um) ** 2, rel=0.02)
    assert disc["perimeter_um"] == pytest.approx(2 * math.pi * 20 * um, rel=0.03)
    assert disc["major_axis_um"] == pytest.approx(40 * um, rel=0.02) and disc["eccentricity"] < 0.05
    assert (disc["centroid_x_nm"], disc["centroid_y_nm"]) == pytest.approx((50.5 * pixel_size, 30.5 * pixel_size))
    assert oval["major_axis_um"] == pytest.approx(60 * um, rel=0.03)
    assert oval["minor_axis_um"] == pytest.approx(20 * um, rel=0.05)
    assert oval["eccentricity"] == pytest.approx(math.sqrt(1 - (1 / 3) ** 2), abs=0.01)
    assert block["area_um2"] == pytest.approx(100 * um**2)


def test_border_and_gray_values_of_the_file(drawn):
    gray = np.full(drawn.shape, 40000, dtype=np.uint16)
    gray[drawn == 2] = 50000
    gray[drawn == 3] = np.arange(100)
    table = measure_instances(drawn, gray, 8.0)
    assert table["touches_border"].tolist() == [0, 0, 1]
    assert table["mean_gray"].tolist() == [40000, 50000, 49.5]


@pytest.mark.parametrize("where", [np.s_[0, 10:20], np.s_[-1, 10:20], np.s_[10:20, 0], np.s_[10:20, -1]])
def test_each_border_counts(where):
    instances = np.zeros((40, 30), dtype=np.int32)
    instances[20:25, 20:25] = 1
    instances[where] = 2
    assert measure_instances(instances, np.zeros((40, 30)), 8.0)["touches_border"].tolist() == [0, 1]


def test_an_image_without_instances_has_no_rows():
    table = measure_instances(np.zeros((10, 20), dtype=np.int32), np.zeros((10, 20)), 8.0)
    assert len(table) == 0 and tuple(table.columns) == COLUMNS


def test_what_cannot_be_measured_is_refused(drawn):
    with pytest.raises(SettingError, match="pixel_size is 0"):
        measure_instances(drawn, np.zeros(drawn.shape), 0)
    with pytest.raises(ValueError, match=r"\(160, 100\) and the image \(100, 160\)"):
        measure_instances(drawn, np.zeros((100, 160)), 8.0)
