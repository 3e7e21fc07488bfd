import json

import pytest

from bundle.data.evaluation_items import evaluation_items
from bundle.errors import DataError
from bundle.keys import LABEL, MODE, NATIVE_LABEL, NATIVE_PIXEL_SIZE
from tests.conftest import TEST, write_domain


def test_each_image_comes_without_clicks_and_again_with_them(tmp_path):
    folder = write_domain(tmp_path / "domain", 0, 90)
    items = evaluation_items(folder, "test", "points_100.json", need_labels=True)
    assert [item[MODE] for item in items] == ["automatic"] * TEST + ["interactive"] * TEST
    assert [len(item["points"]) for item in items] == [0] * TEST + [3] * TEST
    assert all(LABEL in item for item in items)


def test_a_validation_needs_labels_and_an_evaluation_does_not(tmp_path):
    folder = write_domain(tmp_path / "domain", 0, 90)
    datalist = folder / "datalist.json"
    datalist.write_text(datalist.read_text().replace('"label"', '"unused"'))
    with pytest.raises(DataError, match="has no label; the split 'test' cannot be validated on"):
        evaluation_items(folder, "test", need_labels=True)
    assert len(evaluation_items(folder, "test")) == TEST


def test_masks_of_the_grid_before_resampling_come_along(tmp_path):
    folder = write_domain(tmp_path / "domain", 0, 90)
    datalist = json.loads((folder / "datalist.json").read_text())
    datalist["test"][1] |= {"native_label": "labels/test_0.png", "native_pixel_size": 5}
    (folder / "datalist.json").write_text(json.dumps(datalist))
    items = evaluation_items(folder, "test", "points_100.json")
    assert [item.get(NATIVE_LABEL) for item in items] == [None, str(folder / "labels/test_0.png")] * 2
    assert [item.get(NATIVE_PIXEL_SIZE) for item in items] == [None, 5] * 2
    (folder / "labels/test_0.png").rename(folder / "labels/gone.png")
    datalist["test"] = datalist["test"][1:]
    (folder / "datalist.json").write_text(json.dumps(datalist))
    with pytest.raises(DataError, match=r"test_0\.png: no such file"):
        evaluation_items(folder, "test")


@pytest.mark.parametrize("entry", [{"native_label": 3}, {"native_pixel_size": "5"}, {"native_pixel_size": 0}])
def test_entries_that_cannot_be_are_refused(tmp_path, entry):
    folder = write_domain(tmp_path / "domain", 0, 90)
    datalist = json.loads((folder / "datalist.json").read_text())
    datalist["test"][0] |= entry
    (folder / "datalist.json").write_text(json.dumps(datalist))
    with pytest.raises(DataError, match=r'test: expected a list of .*"native_label": path with "native_pixel_size"'):
        evaluation_items(folder, "test")
