"""The baselines of a comparison, on domains of a few pixels."""

import json
import shutil

import numpy as np
import pytest

from bundle.data.domain_folder import load_domain
from bundle.data.image_files import read_image
from bundle.errors import DataError
from scripts.compare import format_table, parser
from scripts.comparison.annotated_crops import Crop, choose, crops_of, write_crops
from scripts.comparison.baselines import BASELINES, crops_folder
from scripts.comparison.person_time import PersonTime
from scripts.comparison.report import write_report
from scripts.comparison.seeds import over_seeds
from tests.test_compare import compared

ROWS = ("source_only", "wda_15", "wda_15+slpo_15", "supervised", *BASELINES)


@pytest.fixture(scope="module")
def finished(domain_pair, tmp_path_factory):
    """A comparison with baselines that ran, its rows, and its commands."""
    return compared(tmp_path_factory.mktemp("baselines"), domain_pair, baselines=True, only=ROWS)


def test_rows_and_what_a_person_gives(finished):
    _, rows, _ = finished
    assert tuple(row.name for row in rows[-len(BASELINES) :]) == BASELINES
    found = {row.name: row for row in rows}
    assert found["basic_unet"].means.keys() == {"automatic"}, "it takes no clicks"
    assert found["histogram_matching"].means.keys() == {"automatic", "interactive"}
    assert found["basic_unet"].time == found["histogram_matching"].time == PersonTime()
    paid = found["wda_15+slpo_15"].time.minutes
    for name, seconds in (("supervised_equal_time", 79.0), ("supervised_equal_time_half", 39.5)):
        time = found[name].time
        # each image is one crop of three discs, so three is the least
        assert time.mask_seconds == seconds and 1 <= time.masks <= max(3, paid * 60 / seconds)
        assert time.minutes == pytest.approx(time.masks * seconds / 60)
    half = found["supervised_equal_time_half"].time
    assert half.cautious_minutes == half.minutes
    assert over_seeds([rows, rows])[-1].time == half


def test_table_and_report_leave_columns_without_clicks_empty(finished, tmp_path):
    _, rows, _ = finished
    assert [line.split()[1] for line in format_table(rows).splitlines() if line.startswith("basic_unet")] == [
        "automatic"
    ]
    assert "<td>basic_unet</td>" in write_report(tmp_path, "title", rows).read_text()


def test_gray_values_of_the_source_change_the_scores_of_its_network(finished):
    comparison, rows, calls = finished
    means = {row.name: row.means["automatic"] for row in rows}
    assert means["histogram_matching"] != means["source_only"]
    (call,) = [call for call in calls if "configs/match_gray_values.json" in call["config_file"]]
    assert call["checkpoint"] == str(comparison.checkpoint("source_only"))


def test_masks_are_learnt_as_long_as_supervised(finished):
    comparison, _, calls = finished
    trained = {call["checkpoint"]: call for call in calls if call["config_file"][-1] == "configs/source.json"}
    supervised = trained[str(comparison.checkpoint("supervised"))]
    crops = trained[str(comparison.checkpoint("supervised_equal_time"))]
    assert crops["source_dir"] == str(crops_folder(comparison, "supervised_equal_time"))
    assert crops["config_file"] == supervised["config_file"]
    assert len(load_domain(crops["source_dir"], "training")) >= 1


def crop(instances, name="a"):
    return Crop(name, name, (slice(0, 1), slice(0, 1)), instances)


def test_crops_fit_the_time():
    crops = [crop(int(n), str(i)) for i, n in enumerate(np.random.default_rng(0).integers(0, 6, 60))]
    for masks in (1, 7, 30):
        chosen = choose(crops, masks, seed=0)
        assert 0 < sum(c.instances for c in chosen) <= masks
        assert choose(crops, masks, seed=0) == chosen != choose(crops, masks, seed=1)
    assert sum(c.instances for c in choose(crops, 30, seed=0)) == 30
    assert choose([crop(3), crop(2, "b"), crop(0)], 0, seed=0) == [crop(2, "b")], "one is drawn at least"
    assert choose([crop(0)], 5, seed=0) == []


def test_crops_cover_each_image_once_and_keep_its_pixels(domain_pair, tmp_path):
    every = list(crops_of(domain_pair.target, 32))
    image = read_image(every[0].image)[..., 0]
    covered = np.zeros(image.shape, int)
    for part in every:
        if part.image == every[0].image:
            covered[part.box] += 1
    assert (covered == 1).all()
    written = write_crops(domain_pair.target, tmp_path / "crops", masks=4, size=32, seed=0)
    items = load_domain(tmp_path / "crops", "training", "points_100.json")
    assert written.pixel_size == 20 and written.instances["training"] == 4 == sum(len(i["points"]) for i in items)
    chosen = choose(every, 4, seed=0)
    assert len(chosen) == len(items)
    for part, item in zip(chosen, items, strict=True):
        np.testing.assert_array_equal(read_image(item["image"])[..., 0], read_image(part.image)[..., 0][part.box])
    assert [path.name for path in tmp_path.iterdir()] == ["crops"]


def test_a_domain_without_masks_is_refused(domain_pair, tmp_path):
    folder = shutil.copytree(domain_pair.target, tmp_path / "bare")
    content = json.loads((folder / "datalist.json").read_text())
    for item in content["training"]:
        del item["label"]
    (folder / "datalist.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="expected masks with instances"):
        write_crops(folder, tmp_path / "crops", masks=4, size=32, seed=0)


def test_baselines_are_asked_for():
    assert parser().parse_args(["--baselines"]).baselines and not parser().parse_args([]).baselines
