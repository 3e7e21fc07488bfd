"""An evaluation also scores on the grid that images had before they were resampled."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage.io import imread

from bundle.data.preparation import Preparation, prepare_domain
from bundle.metrics import DETAILS, SCORES
from tests.conftest import section
from tests.integration.commands import EVALUATE, run_here

SIZE = (149, 109)
"""Pixels of 10 nm; 20 nm does not divide them."""
WINDOWS = {"overlap": 0.25, "rotations": 1, "threshold": 0.45, "min_size": 3}


@pytest.fixture
def scans(tmp_path) -> Path:
    """Two test images of 10 nm and their masks."""
    random = np.random.default_rng(5)
    for kind in ("images", "labels"):
        (tmp_path / "scans/test" / kind).mkdir(parents=True)
    for name in ("a", "b"):
        image, mask, _ = section(random, 90)
        Image.fromarray(image).resize(SIZE).save(tmp_path / f"scans/test/images/{name}.png")
        Image.fromarray(mask).resize(SIZE, Image.NEAREST).save(tmp_path / f"scans/test/labels/{name}.png")
    return tmp_path / "scans"


def _evaluated(tmp_path, scans, weights, **options) -> pd.DataFrame:
    prepare_domain(Preparation(output=tmp_path / "domain", data=scans, **options))
    settings = {"dataset_dir": str(tmp_path / "domain"), "checkpoint": str(weights), "val_points": "points_15.json"}
    run_here(EVALUATE, **settings, **WINDOWS, source_labels=[], output_dir=str(tmp_path / "eval"))
    return pd.read_csv(tmp_path / "eval/metrics.csv")


def test_native_scores_are_those_of_an_inference_on_the_original_images(scans, source_weights, tmp_path, in_root):
    table = _evaluated(tmp_path, scans, source_weights, pixel_size=10.0, output_pixel_size=20.0)
    rows = table[(table["mode"] == "automatic") & (table["image"] != "mean")]
    run_here(
        ["configs/inference.json"],
        dataset_dir=str(scans / "test/images"),
        checkpoint=str(source_weights),
        output_dir=str(tmp_path / "masks"),
        pixel_size=20.0,
        image_pixel_size=10.0,
        **WINDOWS,
    )
    for name, (_, row) in zip("ab", rows.iterrows(), strict=True):
        pred = imread(tmp_path / f"masks/{name}_mask.png") > 0
        truth = imread(scans / f"test/labels/{name}.png") > 0
        both = np.count_nonzero(pred & truth)
        assert 0 < both < pred.sum(), "a mask worth comparing"
        assert row["native_dice"] == pytest.approx(2 * both / (pred.sum() + truth.sum()))
        assert row["native_precision"] == pytest.approx(both / pred.sum())
        assert row["native_recall"] == pytest.approx(both / truth.sum())
        assert row["native_dice"] != row["dice"]
    means = table[table["image"] == "mean"].set_index("mode")
    for score in (*SCORES, *DETAILS):
        assert means.loc["automatic", f"native_{score}"] == pytest.approx(rows[f"native_{score}"].mean())
    assert set(table["native_pixel_size"]) == {10.0}
    assert means["native_dice"].notna().all(), "of the interactive mode too"


def test_where_nothing_was_resampled_there_are_no_native_scores(scans, source_weights, tmp_path, in_root):
    table = _evaluated(tmp_path, scans, source_weights, pixel_size=20.0)
    assert [name for name in table.columns if name.startswith("native")] == []
    assert table[list(DETAILS)].notna().all(axis=None)
