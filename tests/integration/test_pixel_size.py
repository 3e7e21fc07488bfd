"""Pixel sizes through whole configurations: those of the data are worked at, and nothing starts at a doubtful one."""

import json
import logging
import re
import shutil

import monai.bundle
import pandas as pd
import pytest
import torch
from monai.bundle import ConfigParser

from tests.config_combinations import commands
from tests.integration.commands import ADAPT, EVALUATE, NETWORK, ROOT, SOURCE, call, command, flags, refusal, run_here

PREFER = ["configs/train.json", "configs/prefer.json"]
DIFFERENT = {"source": 20.0, "target": 8.0}
SILENT = {"source": None, "target": None}

PIXELS = {
    "source#targets#0#sigma": 3.8,
    "train#pseudo_labeler#click_radius": 2,
    "train#pseudo_labeler#peak_radius": 4,
    "train#pseudo_labeler#density_sigma": 3.8,
}
"""What 76, 40, 80 and 76 nm are at 20 nm."""
STAGES = {
    "stage 0": (SOURCE, {"source#targets#0#sigma": 3.8}),
    "stage 1": (ADAPT, PIXELS),
    "stage 2": (
        PREFER,
        {"variants#6#radius": 4, "variants#11#reach": 4, "evolution#reach": 4, "region_split": "grid:32"},
    ),
}


@pytest.fixture
def pair(domain_pair, tmp_path):
    """Write copies of both folders whose lists tell these numbers."""

    def write(**told):
        folders = {}
        for name, nm in told.items():
            folders[name] = shutil.copytree(getattr(domain_pair, name), tmp_path / name)
            content = json.loads((folders[name] / "datalist.json").read_text())
            (folders[name] / "datalist.json").write_text(json.dumps({**content, "pixel_size": nm}))
        return folders

    return write


def settings_of(files, folders):
    """Of a command: stage 0 has the source alone, stage 2 the target."""
    source = {} if files is PREFER or "source" not in folders else {"source_dir": str(folders["source"])}
    return source if files is SOURCE else {**source, "dataset_dir": str(folders["target"])}


def refused(files, **settings):
    return refusal(lambda: run_here(files, **settings))


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("told", [{"source": 20.0, "target": 20.0}, SILENT], ids=["data", "person"])
def test_nanometres_are_the_same_pixels_whoever_tells(stage, told, pair, in_root):
    files, expected = STAGES[stage]
    parser = ConfigParser()
    parser.read_config(files)
    parser.update({**settings_of(files, pair(**told)), **({"pixel_size": 20} if told is SILENT else {})})
    assert {name: parser.get_parsed_content(name) for name in expected} == pytest.approx(expected)
    assert parser.get_parsed_content("model_settings")["pixel_size"] == 20.0


def test_stage_2_asks_no_source(pair, in_root):
    folders = pair(**DIFFERENT)
    parser = ConfigParser()
    parser.read_config(PREFER)
    parser.update({"source_dir": str(folders["source"]), "dataset_dir": str(folders["target"])})
    assert parser.get_parsed_content("resolved_pixel_size") == 8.0


def test_nothing_else_reads_what_a_person_says():
    """In an inference ``pixel_size`` is what the network works at."""
    for files in sorted(files for files in commands() if files[0] != "inference.json"):
        for name, value in ((name, json.loads((ROOT / "configs" / name).read_text())) for name in files):
            value.pop("resolved_pixel_size", None)
            assert re.findall(r"[@%]pixel_size\b", json.dumps(value)) == [], name


@pytest.mark.parametrize("files", [SOURCE, ADAPT, PREFER, EVALUATE], ids=["source", "adapt", "prefer", "evaluate"])
def test_a_contradiction_is_refused_before_work(files, pair, tmp_path, in_root):
    settings = settings_of(files, pair(source=20.0, target=20.0))
    results = {name: str(tmp_path / name) for name in ("work_dir", "output_dir")}
    text = refused(files, **settings, **{**results, "checkpoint": str(tmp_path / "x.pt"), "pixel_size": 8})
    place = tmp_path / ("source" if files is SOURCE else "target") / "datalist.json"
    assert text.startswith(f"--pixel_size 8: {place} says 20 nm; leave it out, or prepare the data anew with --output")
    assert {path.name for path in tmp_path.iterdir()} == {"source", "target"}


@pytest.mark.parametrize("files", [ADAPT, EVALUATE], ids=["adapt", "evaluate"])
def test_domains_that_differ_are_refused_before_work(files, pair, tmp_path, in_root):
    text = refused(files, **settings_of(files, pair(**DIFFERENT)), work_dir=str(tmp_path / "work"))
    assert f"{tmp_path}/source/datalist.json: has pixels of 20 nm" in text
    assert f"{tmp_path}/target/datalist.json of 8 nm" in text and not (tmp_path / "work").exists()


@pytest.mark.parametrize("files", [SOURCE, ADAPT, PREFER], ids=["source", "adapt", "prefer"])
def test_a_training_needs_to_be_told(files, pair, tmp_path, in_root):
    text = refused(files, **settings_of(files, pair(**SILENT)), work_dir=str(tmp_path / "work"))
    assert "datalist.json: no pixel_size there; give --pixel_size NM, in nanometres" in text
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("value", ["abc", 0, -8, "$float('nan')"])
def test_a_pixel_size_is_a_number_above_0(value, pair, in_root):
    text = refused(ADAPT, **settings_of(ADAPT, pair(**SILENT)), pixel_size=value)
    assert re.match(r"pixel_size is .*, expected a number above 0", text)


@pytest.mark.slow
def test_a_wrong_pixel_size_ends_a_command_with_one_line(domain_pair, tmp_path):
    settings = {"source_dir": domain_pair.source, "work_dir": tmp_path}
    for value, expected in (("abc", "pixel_size is 'abc', expected a number above 0"), ("8", "--pixel_size 8: ")):
        done = call(command("run", "training", *flags(SOURCE, **settings, pixel_size=value)))
        assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith(f"error: {expected}")
        assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("told", "options", "areas"),
    [
        ({"source": 20.0, "target": 20.0}, {}, True),
        (SILENT, {"pixel_size": 20}, True),
        (SILENT, {}, False),
        ({"target": 20.0}, {"source_labels": []}, True),
    ],
    ids=["data", "person", "nobody", "no source"],
)
def test_an_evaluation_has_nanometres_where_they_are_known(
    told, options, areas, pair, source_weights, tmp_path, in_root, caplog
):
    caplog.set_level(logging.CRITICAL)
    settings = settings_of(EVALUATE, pair(**told))
    run_here(EVALUATE, **settings, checkpoint=str(source_weights), output_dir=str(tmp_path / "eval"), **options)
    features = set(pd.read_csv(tmp_path / "eval" / "health.csv")["feature"])
    assert "area_px" in features and ("area_nm2" in features) is areas


def segment(folder, **settings):
    """Run an inference with a network of a few weights."""
    parser = ConfigParser()
    parser.read_config("configs/inference.json")
    parser.update(NETWORK)
    torch.save(parser.get_parsed_content("network_def").state_dict(), folder / "model.pt")
    results = {"checkpoint": str(folder / "model.pt"), "output_dir": str(folder / "out")}
    small = {**NETWORK, "crop_size": [32, 32], "device": "$torch.device('cpu')"}
    monai.bundle.run(config_file="configs/inference.json", logging_file=False, **small, **results, **settings)


def test_an_inference_that_is_contradicted_is_refused_before_work(pair, tmp_path, in_root):
    line = refusal(lambda: segment(tmp_path, dataset_dir=str(pair(target=20.0)["target"]), image_pixel_size=8))
    assert line.startswith(f"--image_pixel_size 8: {tmp_path}/target/datalist.json says 20 nm")
    assert not (tmp_path / "out").exists()


def test_an_inference_that_must_resample_what_tells_no_pixel_size_is_refused_before_work(pair, tmp_path, in_root):
    line = refusal(lambda: segment(tmp_path, dataset_dir=str(pair(target=None)["target"]), pixel_size=20))
    assert "tells no pixel size" in line and "--image_pixel_size NM" in line and "PIXEL_SIZE=NM" in line
    assert not (tmp_path / "out").exists()


def test_an_inference_may_know_nothing(pair, tmp_path, in_root, caplog):
    caplog.set_level(logging.CRITICAL)
    segment(tmp_path, dataset_dir=str(pair(target=None)["target"]))
    assert len(list((tmp_path / "out").glob("*_mask.png"))) == 2
