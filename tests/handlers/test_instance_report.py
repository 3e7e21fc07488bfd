from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from PIL import Image

from bundle import keys
from bundle.data.result_files import RESULTS, TABLE, result_path
from bundle.errors import DataError
from bundle.handlers.instance_report import InstanceReport
from bundle.metrics.measurements import COLUMNS

WIDTH, HEIGHT = 60, 40


@pytest.fixture
def images(tmp_path):
    (tmp_path / "in").mkdir()
    for name, level in (("a", 50), ("b", 200)):
        Image.fromarray(np.full((HEIGHT, WIDTH), level, dtype=np.uint8)).save(tmp_path / "in" / f"{name}.png")
    return tmp_path / "in"


def output(path, *widths):
    """An item of an evaluator's output: bars of some widths, 10 pixels long."""
    instances = torch.zeros(1, WIDTH, HEIGHT, dtype=torch.int32)
    for i, width in enumerate(widths):
        instances[0, 10 * i + 2 : 10 * i + 2 + width, 5:15] = i + 1
    mask = MetaTensor((instances > 0).byte()[0], meta={"filename_or_obj": str(path)})
    return {keys.PRED: mask, keys.INSTANCES: instances}


def items(*outputs, pixel_size):
    return [{keys.IMAGE: item[keys.PRED].meta["filename_or_obj"], keys.PIXEL_SIZE: pixel_size} for item in outputs]


def run(folder, *outputs, pixel_size=20.0):
    """A run that segments some images, one at a time, and saves their masks behind the report."""
    report = InstanceReport(folder, items(*outputs, pixel_size=pixel_size))
    engine = Engine(lambda *_: None)
    report.attach(engine)
    for item in outputs:
        report.report(SimpleNamespace(state=SimpleNamespace(output=[item])))
        for result in RESULTS:
            result_path(item[keys.PRED].meta["filename_or_obj"], result, folder).touch()
    return report


def test_a_row_for_each_instance_and_a_picture_for_each_image(images, tmp_path):
    report = run(tmp_path / "out", output(images / "a.png", 5, 8), output(images / "b.png"))
    table = pd.read_csv(tmp_path / "out" / TABLE)
    assert tuple(table.columns) == COLUMNS
    assert table["image"].tolist() == ["a.png", "a.png"] and table["instance"].tolist() == [1, 2]
    assert table["area_um2"].tolist() == pytest.approx([0.02, 0.032]) and table["mean_gray"].tolist() == [50, 50]
    assert {path.name for path in (tmp_path / "out").glob("*_overlay.png")} == {"a_overlay.png", "b_overlay.png"}
    assert report.summary() == "2 images, 2 mitochondria, median area 0.026 um2, 2.7% of the area"


def test_an_image_that_comes_again_gets_new_rows_and_others_stay(images, tmp_path):
    run(tmp_path / "out", output(images / "a.png", 5), output(images / "b.png", 6))
    report = run(tmp_path / "out", output(images / "a.png", 7, 8))
    table = pd.read_csv(tmp_path / "out" / TABLE)
    assert table.groupby("image")["area_um2"].apply(list).to_dict() == {
        "a.png": pytest.approx([0.028, 0.032]),
        "b.png": pytest.approx([0.024]),
    }
    assert report.summary().startswith("1 image, 2 mitochondria")


def test_each_image_has_its_own_pixel_size(images, tmp_path):
    first, second = output(images / "a.png", 5), output(images / "b.png", 5)
    sizes = [*items(first, pixel_size=20.0), *items(second, pixel_size=10.0)]
    report = InstanceReport(tmp_path, sizes)
    report.report(SimpleNamespace(state=SimpleNamespace(output=[first, second])))
    table = pd.read_csv(tmp_path / TABLE)
    assert table["area_um2"].tolist() == pytest.approx([0.02, 0.005])
    assert table["centroid_y_nm"].tolist() == pytest.approx([200, 100])


def test_without_a_pixel_size_what_has_a_unit_stays_blank(images, tmp_path):
    first = output(images / "a.png", 5)
    report = InstanceReport(tmp_path, [{keys.IMAGE: str(images / "a.png")}])
    report.report(SimpleNamespace(state=SimpleNamespace(output=[first])))
    (row,) = pd.read_csv(tmp_path / TABLE).to_dict("records")
    blank = {name for name, value in row.items() if value != value}
    assert blank == {name for name in COLUMNS if name.endswith(("_um2", "_um", "_nm"))}
    assert report.summary() == "1 image, 1 mitochondrion"


def test_rows_of_results_that_were_removed_go_too(images, tmp_path):
    run(tmp_path / "out", output(images / "a.png", 5), output(images / "b.png", 6))
    result_path("a.png", "instances", tmp_path / "out").unlink()
    run(tmp_path / "out", output(images / "b.png", 6))
    assert pd.read_csv(tmp_path / "out" / TABLE)["image"].tolist() == ["b.png"]


def test_a_run_that_is_cut_off_has_the_rows_of_each_image_with_masks(images, tmp_path):
    run(tmp_path / "out", output(images / "a.png", 5))
    second = output(images / "b.png", 6)
    cut = InstanceReport(tmp_path / "out", items(second, pixel_size=20.0))
    cut.report(SimpleNamespace(state=SimpleNamespace(output=[second])))
    # killed before b was saved: its rows are there and are made again
    run(tmp_path / "out", output(images / "b.png", 7))
    assert pd.read_csv(tmp_path / "out" / TABLE)["area_um2"].tolist() == pytest.approx([0.02, 0.028])


@pytest.mark.parametrize("text", ["name,size\na,1\n", "", "\x00\x01"])
def test_another_table_is_not_replaced(tmp_path, text):
    (tmp_path / TABLE).write_text(text)
    with pytest.raises(DataError, match=f"{TABLE}: .*move it away"):
        InstanceReport(tmp_path, [])
    assert (tmp_path / TABLE).read_text() == text
