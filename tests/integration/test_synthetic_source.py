"""The whole way without any source folder: synthetic tissue in its place, in every stage."""

import json
import shutil

import pandas as pd
import pytest
from monai.bundle import ConfigParser

from bundle.data import summarize_items
from bundle.handlers.model_overlay import PROVENANCE
from bundle.synthetic import source_items
from tests.integration.commands import ADAPT, EVALUATE, ROOT, SOURCE, TINY, TRAINING, call, command, refusal, run_here

PREFER = ["configs/train.json", "configs/prefer.json"]
IMAGES = {"synthetic_images": 3, "synthetic_shape": [40, 48]}


@pytest.fixture
def own(tmp_path):
    """Settings that keep the images of a command in ``tmp_path``."""
    return {**IMAGES, "synthetic_dir": str(tmp_path / "synthetic"), "work_dir": str(tmp_path / "work")}


@pytest.fixture
def weights(own, tmp_path, in_root):
    """Weights of stage 0 on synthetic tissue, with their overlay."""
    run_here(SOURCE, **own, pixel_size=20, checkpoint=str(tmp_path / "start.pt"))
    return tmp_path / "start.pt"


def configured(files, **settings):
    parser = ConfigParser()
    parser.read_config(files)
    parser.update({**TINY, **settings})
    return parser


def test_synthetic_tissue_is_the_source_when_none_is_named(in_root):
    for files in (ADAPT, SOURCE, EVALUATE):
        assert configured(files).get_parsed_content("source_dir") == "synthetic"
    assert configured(SOURCE).get_parsed_content("dataset_dir") == "synthetic"
    found = configured(ADAPT, crop_size=[128, 128])
    assert found.get_parsed_content("synthetic_shape") == [192, 224]
    assert found.get_parsed_content("synthetic_dir") == "./runs/synthetic"


def test_it_is_rendered_at_the_pixel_size_of_the_target(domain_pair, own, tmp_path, in_root):
    target = shutil.copytree(domain_pair.target, tmp_path / "target")
    content = json.loads((target / "datalist.json").read_text())
    (target / "datalist.json").write_text(json.dumps({**content, "pixel_size": 12.0}))
    items = configured(ADAPT, **own, dataset_dir=str(target)).get_parsed_content("source#data")
    assert items == source_items("synthetic", 12.0, own["synthetic_dir"], 3, (40, 48), 0)
    again = configured(ADAPT, **own, dataset_dir=str(target), seed=1).get_parsed_content("source#data")
    assert summarize_items(again) != summarize_items(items)


def test_stage_0_is_told_the_pixel_size(own, tmp_path, weights):
    overlay = json.loads(weights.with_suffix(".json").read_text())
    items = source_items("synthetic", 20.0, own["synthetic_dir"], 3, (40, 48), 0)
    assert overlay["pixel_size"] == 20.0
    assert overlay[PROVENANCE]["data_sets"] == {"source": {"name": "synthetic", "items": summarize_items(items)}}
    new = {**own, "synthetic_dir": str(tmp_path / "new"), "checkpoint": str(tmp_path / "new.pt")}
    assert refusal(lambda: run_here(SOURCE, **new)) == (
        "synthetic tissue has any pixel size; give --pixel_size NM, in nanometres"
    )
    assert not (tmp_path / "new").exists()


def test_an_evaluation_compares_with_its_shapes(domain_pair, own, tmp_path, weights):
    settings = {
        "dataset_dir": str(domain_pair.target),
        "checkpoint": str(weights),
        "output_dir": str(tmp_path / "eval"),
    }
    run_here(EVALUATE, **own, **settings)
    run_here(EVALUATE, **own, **{**settings, "output_dir": str(tmp_path / "bare")}, source_labels=[])
    compared, bare = (pd.read_csv(tmp_path / name / "health.csv").set_index("feature") for name in ("eval", "bare"))
    assert (compared.loc["foreground_share", "source_count"] == IMAGES["synthetic_images"]).all()
    assert (compared.loc["area_nm2", "source_count"] > 0).all() and (bare["source_count"] == 0).all()


@pytest.mark.parametrize(
    ("files", "wrong", "text"),
    [
        (ADAPT, {"init_checkpoint": "/nowhere.pt"}, "/nowhere.pt: no such checkpoint"),
        (ADAPT, {"max_points": 8}, "start.pt: its training had max_points 64, not 8. Add its overlay behind the other"),
        (ADAPT, {"dataset_dir": "/nowhere", "pixel_size": 20}, "/nowhere: no such folder"),
        (ADAPT, {"points": "none.json"}, "none.json: no such file"),
        (ADAPT, {"checkpoint": "models/model.pt"}, "checkpoint is models/model.pt, but models/model.pt comes with"),
        (SOURCE, {"checkpoint": "models/model_synthetic.pt", "pixel_size": 20}, "checkpoint is models/model_synthetic"),
        (PREFER, {"checkpoint": str(ROOT / "models" / "model.pt")}, f"checkpoint is {ROOT}/models/model.pt, but"),
    ],
    ids=["weights", "settings", "target", "points", "stage 1", "stage 0", "stage 2"],
)
def test_what_cannot_be_is_told_before_anything_is_rendered(
    files, wrong, text, domain_pair, own, tmp_path, weights, in_root
):
    start = {} if files is SOURCE else {"init_checkpoint": str(weights), "dataset_dir": str(domain_pair.target)}
    new = {"synthetic_dir": str(tmp_path / "new"), "checkpoint": str(tmp_path / "new.pt"), "work_dir": str(tmp_path)}
    assert text in refusal(lambda: run_here(files, **{**own, **start, **new, **wrong}))
    assert not (tmp_path / "new").exists() and not (tmp_path / "new.pt").exists()


@pytest.mark.slow
def test_the_whole_way_with_the_targets_folder_alone(domain_pair, own, tmp_path, weights):
    """Commands as a person types them, with the overlays of the weights; nothing else is on the disk."""
    target = shutil.copytree(domain_pair.target, tmp_path / "target")
    schedule = {**{name: value for name, value in TRAINING.items() if name != "crop_size"}, "prefer_epochs": 1}
    adapted, preferred = tmp_path / "adapted.pt", tmp_path / "preferred.pt"

    def run(run_id, files, beside, **settings):
        line = [files[0], str(beside.with_suffix(".json")), *files[1:]]
        given = {**schedule, **own, "dataset_dir": target, **settings}
        typed = [part for name, value in given.items() for part in (f"--{name}", str(value))]
        done = call(command("run", run_id, "--config_file", str(line), *typed))
        assert done.returncode == 0, done.stderr[-3000:]

    shutil.rmtree(own["synthetic_dir"])
    run("training", ADAPT, weights, init_checkpoint=weights, checkpoint=adapted, points="points_15.json")
    said = json.loads(adapted.with_suffix(".json").read_text())[PROVENANCE]
    assert said["data_sets"]["source"]["name"] == "synthetic" and said["data_sets"].keys() == {"source", "target"}
    assert len(list((tmp_path / "synthetic").rglob("*.png"))) == 2 * IMAGES["synthetic_images"]

    judged = {"annotator": "oracle", "region_size_nm": 160.0, "candidates_count": 4}
    run("training", PREFER, adapted, init_checkpoint=adapted, checkpoint=preferred, points="points_15.json", **judged)
    said = json.loads(preferred.with_suffix(".json").read_text())[PROVENANCE]
    assert said["data_sets"].keys() == {"target"}
    run("evaluating", EVALUATE, preferred, checkpoint=preferred, output_dir=tmp_path / "eval")
    assert set(pd.read_csv(tmp_path / "eval" / "metrics.csv")["mode"]) == {"automatic", "interactive"}
