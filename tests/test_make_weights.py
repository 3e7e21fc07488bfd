"""The program that trains the shipped weights, with a few pixels and steps; its commands run in this process."""

import json
import shutil
import sys

import monai.bundle
import numpy as np
import pytest
from PIL import Image

from bundle.handlers.model_overlay import PROVENANCE, read_overlay
from bundle.preflight import check_overrides, parse_command
from bundle.state_files import read_state, state_sha256
from scripts import make_weights
from scripts.comparison import cells as module
from scripts.comparison.cells import Cells
from scripts.make_weights import Weights, typed
from tests.conftest import section
from tests.integration.commands import ROOT, TINY

SYNTHETIC = {"pixel_size": 20.0, "number": 3, "shape": [48, 40], "seed": 1}


def write_raw(folder):
    """Annotated images of both splits, as a person has them."""
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        for index in range(2):
            image, mask, _ = section(random, 90)
            for kind, array in (("images", image), ("labels", mask)):
                path = folder / split / kind / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Both weights, and the commands that made them."""
    folder = tmp_path_factory.mktemp("weights")
    (folder / "tiny.json").write_text(json.dumps(TINY))
    (folder / "weights.json").write_text(json.dumps({"synthetic": SYNTHETIC}))
    write_raw(folder / "raw")
    weights = Weights(
        output=folder / "models",
        work=folder / "work",
        data=folder / "raw",
        pixel_size=20.0,
        seed=0,
        cells=Cells([str(folder / "tiny.json")], {"source_epochs": 1}, jobs=1),
    )
    calls = []

    def run_here(arguments, log, threads):
        settings = parse_command(arguments[2:])
        files = settings.pop("config_file")
        known = monai.bundle.ConfigParser()
        known.read_config(files)
        check_overrides(settings, known.get())
        calls.append((files, settings))
        monai.bundle.run(arguments[1], config_file=files, logging_file=False, **settings)
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(module, "run_bundle", run_here)
        patch.setattr(make_weights, "CONFIG", folder / "weights.json")
        made = weights.make()
        yield weights, made, calls


def test_both_pairs_are_made_and_belong_together(finished):
    _, made, _ = finished
    assert [path.name for path in made] == ["model_synthetic.pt", "model.pt"]
    for path in made:
        overlay = read_overlay(path.with_suffix(".json"))
        assert overlay[PROVENANCE]["weights"] == state_sha256(read_state(path))
        assert overlay["pixel_size"] == 20.0


def test_the_second_goes_on_from_the_first_and_says_what_it_learnt_from(finished):
    _, made, _ = finished
    first, second = (read_overlay(path.with_suffix(".json"))[PROVENANCE] for path in made)
    assert first["parent"] is None
    assert second["parent"] == first["weights"] != second["weights"]
    assert second["data_sets"]["synthetic"]["items"].startswith("3 images")
    assert second["data_sets"]["annotated"]["name"] == "raw"


def test_nothing_but_the_training_split_is_learnt_from(finished):
    weights, _, _ = finished
    listed = json.loads((weights.work / "annotated" / "datalist.json").read_text())
    assert listed["training"] and not listed["test"]


def test_what_is_done_is_not_done_again(finished):
    weights, made, calls = finished
    before, number = made[0].read_bytes(), len(calls)
    shutil.rmtree(weights.output)
    assert weights.make() == made
    assert len(calls) == number == 2
    assert made[0].read_bytes() == before


def test_without_annotated_images_there_are_the_synthetic_weights_alone(finished, tmp_path):
    weights, _, _ = finished
    alone = Weights(tmp_path, weights.work, None, None, 0, weights.cells)
    assert alone.make() == [tmp_path / "model_synthetic.pt"]
    assert not (tmp_path / "model.pt").exists()


def test_the_training_on_synthetic_tissue_reads_nothing_else(finished):
    weights, _, calls = finished
    files, settings = calls[0]
    assert "configs/weights_annotated.json" not in files
    assert "annotated_dir" not in settings and "init_checkpoint" not in settings
    assert str(weights.work / "synthetic") in settings["source_dir"]


def test_a_path_in_the_repository_is_typed_without_the_way_to_it():
    assert typed(ROOT / "runs" / "weights") == "./runs/weights"
    assert typed(ROOT.parent / "other") == str(ROOT.parent / "other")


def test_a_folder_without_images_is_one_line(tmp_path, monkeypatch, capsys):
    words = ["--data", tmp_path / "none", "--work", tmp_path, "--output", tmp_path]
    monkeypatch.setattr(sys, "argv", ["make_weights", *map(str, words)])
    monkeypatch.setattr(Weights, "train", lambda *_, **__: None)
    monkeypatch.setattr(make_weights.SyntheticDataset, "render_all", lambda _: None)
    assert make_weights.main() == 1
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and "none" in error[0]
