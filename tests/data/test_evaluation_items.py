import pytest

from bundle.data.evaluation_items import evaluation_items
from bundle.errors import DataError
from bundle.keys import LABEL, MODE
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
