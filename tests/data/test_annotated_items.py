import numpy as np
import pytest
from PIL import Image

from bundle.data.annotated_items import annotated_items
from bundle.data.points import Clicks
from bundle.errors import DataError

WIDTH, HEIGHT = 40, 24


def _png(path, rows):
    Image.fromarray(rows.astype(np.uint8)).save(path)
    return str(path)


@pytest.fixture
def images(tmp_path):
    return [_png(tmp_path / f"{name}.png", np.zeros((HEIGHT, WIDTH))) for name in "abc"]


@pytest.fixture
def label(tmp_path):
    """Two instances, one of them where only columns reach."""
    rows = np.zeros((HEIGHT, WIDTH))
    rows[2:5, 30:36] = 3
    rows[15:20, 4:9] = 1
    return _png(tmp_path / "label.png", rows)


def test_masks_become_complete_clicks_and_supervised_items(images, label):
    a, b, _ = images
    clicks = {a: Clicks([[1, 1]], [1]), b: Clicks([[35, 20], [2, 3]], [1, 0])}
    targets, labelled = annotated_items(images, {a: label}, clicks, 64, 8)
    assert labelled == [{"image": a, "label": label}]
    assert [item["image"] for item in targets] == images
    assert [item["complete"] for item in targets] == [True, False, False]
    (x0, y0), (x1, y1) = sorted(targets[0]["points"])
    assert 4 <= x0 < 9 and 15 <= y0 < 20 and 30 <= x1 < 36 and 2 <= y1 < 5
    assert targets[0]["point_labels"] == [1, 1]
    assert (targets[1]["points"], targets[1]["point_labels"]) == ([[35, 20], [2, 3]], [1, 0])
    assert targets[2]["points"] == []


@pytest.mark.parametrize(
    "clicks, most, word",
    [([[24, 30]], 8, "lies outside"), ([[1, 1], [2, 2], [3, 3]], 2, "max_points is 2")],
)
def test_clicks_that_cannot_be_used_are_refused(images, clicks, most, word):
    with pytest.raises(DataError, match=word):
        annotated_items(images, {}, {images[0]: Clicks(clicks, [1] * len(clicks))}, 64, most)


def test_a_mask_of_another_size_is_refused(images, tmp_path):
    turned = _png(tmp_path / "turned.png", np.zeros((WIDTH, HEIGHT)))
    with pytest.raises(DataError, match="its image is"):
        annotated_items(images, {images[0]: turned}, {}, 64, 8)
