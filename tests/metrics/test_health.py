import numpy as np
import pandas as pd
import pytest
from skimage.draw import disk

from bundle.metrics.health import compare_shapes, describe_image, describe_instances


def _disks_and_a_line() -> np.ndarray:
    instances = np.zeros((100, 200), np.int32)
    instances[disk((30, 30), 20)] = 1
    instances[disk((30, 100), 10)] = 2
    instances[80, 10:60] = 3
    return instances


def test_image_is_counted() -> None:
    instances = np.zeros((1, 100, 200), np.int32)
    instances[0, :10, :10] = 4
    instances[0, 50:60, :30] = 9  # numbers need not be without gaps
    assert describe_image(instances) == {
        "instances": 2,
        "instances_per_megapixel": pytest.approx(100.0),
        "foreground_share": pytest.approx(400 / 20000),
    }


def test_shapes_have_the_values_of_geometry() -> None:
    frame = describe_instances(_disks_and_a_line(), "a.png", pixel_size=5.0).set_index("instance")
    assert (frame["image"] == "a.png").all()
    assert frame.loc[1, "equivalent_diameter_px"] == pytest.approx(40, rel=0.03)
    assert frame.loc[1, "area_px"] == pytest.approx(np.pi * 20**2, rel=0.03)
    assert frame.loc[1, "area_nm2"] == frame.loc[1, "area_px"] * 25
    assert frame.loc[1, "eccentricity"] < 0.1
    assert frame.loc[3, "eccentricity"] > 0.99
    assert frame.loc[3, "area_px"] == 50
    assert (frame["solidity"] > 0.9).all()


def test_a_flood_has_low_solidity() -> None:
    ring = np.zeros((60, 60), np.int32)
    ring[5:55, 5:55] = 1
    ring[10:50, 10:50] = 0
    assert describe_instances(ring)["solidity"].item() == pytest.approx((2500 - 1600) / 2500)


def test_area_in_nanometres_only_with_a_pixel_size() -> None:
    assert "area_nm2" not in describe_instances(_disks_and_a_line())
    with pytest.raises(ValueError, match="pixel_size is 0"):
        describe_instances(_disks_and_a_line(), pixel_size=0)


def test_comparison_worked_by_hand() -> None:
    pred = pd.DataFrame({"area_px": [10, 20, 30, 40, 50], "image": "a"})
    source = pd.DataFrame({"area_px": [30, 40, 50, 60, 70], "image": "b"})
    report = compare_shapes(pred, source)
    assert report["feature"].tolist() == ["area_px"]
    row = report.iloc[0]
    assert (row["pred_count"], row["pred_median"], row["pred_iqr"]) == (5, 30, 20)  # quartiles 20 and 40
    assert (row["source_count"], row["source_median"], row["source_iqr"]) == (5, 50, 20)
    assert row["ks"] == pytest.approx(0.4)  # at 20: 2 of 5 predictions, no source
    assert compare_shapes(pred, pred)["ks"].item() == 0.0
    assert compare_shapes(pred, source + source)["ks"].item() == 1.0  # 60 ... 140: no overlap


def test_no_instances_is_a_report_too() -> None:
    nothing = describe_instances(np.zeros((1, 8, 8), np.int32), "a.png", pixel_size=5.0)
    some = describe_instances(_disks_and_a_line(), "b.png", pixel_size=5.0)
    assert len(nothing) == 0
    assert list(nothing.columns) == list(some.columns)
    assert describe_image(np.zeros((8, 8), np.int32))["instances"] == 0
    for pred, source in ((nothing, some), (some, nothing), (nothing, nothing), (some, pd.DataFrame())):
        report = compare_shapes(pred, source)
        assert len(report) == 5
        assert report["ks"].isna().all()
        assert (report["pred_count"] == len(pred)).all()
        assert report["pred_median"].isna().all() == (len(pred) == 0)
