import json
import logging
import shutil
import sys

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.transforms import Compose
from PIL import Image

from bundle import preflight
from bundle.errors import DataError, DivergedError, SettingError, StorageError
from bundle.losses import MultitaskLoss
from bundle.transforms import InstanceTargetsd
from tests.integration.commands import ADAPT, EVALUATE, SOURCE, call, command, flags, run_here


@pytest.fixture
def pair(domain_pair, tmp_path):
    """Folders that a test may spoil."""
    return {name: shutil.copytree(getattr(domain_pair, name), tmp_path / name) for name in ("source", "target")}


@pytest.fixture
def fails(pair, source_weights, tmp_path, in_root, capsys):
    """Run a command that must fail; return what its user reads, and see that nothing was trained or written."""

    def run(files, **settings):
        results = {"checkpoint": str(tmp_path / "new.pt"), "work_dir": str(tmp_path / "work")}
        if files is EVALUATE:
            results = {"checkpoint": str(source_weights), "output_dir": str(tmp_path / "eval")}
        folders = {"source_dir": str(pair["source"]), "dataset_dir": str(pair["target"])}
        if files is SOURCE:
            del folders["dataset_dir"]
        with pytest.raises(Exception) as error:
            run_here(files, **{**folders, "init_checkpoint": str(source_weights), **results, **settings})
        capsys.readouterr()
        preflight.show_error(error.type, error.value, error.tb)
        text = capsys.readouterr().err
        assert text.startswith("error: ") and text.endswith("\n") and text.count("\n") == 1, text
        assert not (tmp_path / "new.pt").exists()
        assert {path.name for path in (tmp_path / "work").glob("*")} <= {"run.lock"}
        return text

    return run


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def write_points(pair, points):
    content = {"complete": False, "points": {name: {"points": xy} for name, xy in points.items()}}
    (pair["target"] / "p.json").write_text(json.dumps(content))


def test_missing_folders(fails):
    assert "/nowhere/target: no such folder" in fails(ADAPT, dataset_dir="/nowhere/target")
    assert "/nowhere/source: no such folder" in fails(ADAPT, source_dir="/nowhere/source")


@pytest.mark.parametrize("setting", ["region_size_nm", "contour_reach_nm", "min_disputed", "max_regions"])
def test_settings_of_preferences(fails, setting):
    files = ["configs/train.json", "configs/prefer.json"]
    assert f"{setting} is 0, expected a number above 0" in fails(files, **{setting: 0})


def test_missing_image(fails, pair):
    (pair["target"] / "images" / "training_1.png").unlink()
    assert "target/images/training_1.png: no such file" in fails(ADAPT)


@pytest.mark.parametrize(
    ("files", "image"),
    [
        (ADAPT, "target/images/training_1.png"),
        (SOURCE, "source/images/training_1.png"),
        (SOURCE, "source/labels/training_1.png"),
    ],
)
def test_truncated_image_is_found_before_training(fails, tmp_path, files, image):
    truncate(tmp_path / image)
    assert f"{image}: cannot be read as an image" in fails(files)


@pytest.mark.parametrize("workers", [0, 1])
def test_truncated_image_in_an_evaluation(fails, pair, workers):
    truncate(pair["target"] / "images" / "test_1.png")
    assert "test_1.png: cannot be read as an image" in fails(EVALUATE, num_workers=workers)


def test_label_of_another_shape(fails, pair):
    Image.new("L", (20, 20)).save(pair["source"] / "labels" / "training_1.png")
    text = fails(SOURCE)
    assert "labels/training_1.png: is (20, 20) pixels" in text and "(72, 56)" in text


def test_points_that_cannot_be(fails, pair):
    write_points(pair, {"images/training_0.png": [[71, 55], [72, 5]]})
    assert "point (72, 5) lies outside" in fails(ADAPT, points="p.json")
    write_points(pair, {"images/other.png": [[7, 5]]})
    assert "image 'images/other.png' is not in the list" in fails(ADAPT, points="p.json")
    assert "nothing.json: no such file" in fails(ADAPT, points="nothing.json")


@pytest.mark.parametrize("files", [ADAPT, EVALUATE])
def test_more_points_in_a_window_than_the_network_takes(fails, files, source_weights, tmp_path):
    crowd = {"crop_size": [72, 72], "max_points": 2}
    if files is ADAPT:  # from weights without overlay, which would refuse these settings before
        crowd |= {
            "points": "points_100.json",
            "init_checkpoint": str(shutil.copy(source_weights, tmp_path / "bare.pt")),
        }
    assert "3 clicks lie in one window of 72 x 72 pixels, but max_points is 2" in fails(files, **crowd)


def test_checkpoints_that_do_not_fit(fails, tmp_path, source_weights):
    assert "/nowhere.pt: no such checkpoint" in fails(ADAPT, init_checkpoint="/nowhere.pt")
    assert "/nowhere.pt: no such checkpoint" in fails(EVALUATE, checkpoint="/nowhere.pt")
    bare = str(shutil.copy(source_weights, tmp_path / "bare.pt"))  # without overlay, which would refuse it before
    text = fails(ADAPT, init_checkpoint=bare, **{"image_encoder#channels": [8, 8, 24]})
    assert bare in text and "of another shape, such as image_encoder.stage8" in text
    assert "8x8x3x3" not in text and "16x8x3x3, not 24x8x3x3" in text
    assert "missing, such as mask_decoder.transformer.blocks.1" in fails(
        EVALUATE, checkpoint=bare, **{"decoder#depth": 2}
    )
    (tmp_path / "text.pt").write_text("no checkpoint")
    assert "text.pt: no checkpoint that torch can read" in fails(ADAPT, init_checkpoint=str(tmp_path / "text.pt"))
    torch.save({"network": {}, "position": {"epoch": 1}}, tmp_path / "nested.pt")
    assert "nested.pt: holds no flat state dict" in fails(ADAPT, init_checkpoint=str(tmp_path / "nested.pt"))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"crop_size": [30, 32]}, "crop_size is [30, 32], expected two multiples of 8"),
        ({"crop_size": 32}, "crop_size is 32, expected two multiples of 8"),
        ({"batch_size": 0}, "batch_size is 0, expected a number above 0"),
        ({"max_epochs": "many"}, "max_epochs is 'many', expected a number above 0"),
        ({"alpha": 2}, "alpha must be in [0, 1), got 2"),
        ({"learning_rate": -1}, "learning_rate is -1, expected a number above 0"),
        ({"image_encoder#chanels": 3}, "unexpected keyword argument 'chanels'"),
        ({"image_encoder": {"_target_": "bundle.networks.Other"}}, "Cannot locate class or function path"),
        ({"image_encoder": "@encoders"}, "encoders"),
        ({"image_encoder": "$1 / 0"}, "division by zero"),
    ],
)
def test_settings_that_cannot_be(fails, settings, text):
    assert text in fails(ADAPT, **settings)


def test_resume_of_another_plan(domain_pair, tmp_path, in_root, capsys):
    settings = {"source_dir": str(domain_pair.source), "checkpoint": str(tmp_path / "s.pt"), "work_dir": str(tmp_path)}
    run_here(SOURCE, **settings, max_epochs=2)
    for change, text in (({"epoch_length": 3}, "epoch_length 2, not 3"), ({"max_epochs": 1}, "more than max_epochs 1")):
        with pytest.raises(Exception) as error:
            run_here(SOURCE, **{**settings, "max_epochs": 2, **change}, resume=True)
        assert text in preflight.explain(error.value)


CONFIG = {
    "max_epochs": 100,
    "learning_rate": 3e-4,
    "resume": False,
    "amp": False,
    "crop_size": [256, 256],
    "reader": "ITKReader",
    "points": None,
    "output": "$@root",
    "encoder": {"_target_": "Encoder", "channels": [1]},
    "loss_weights": {"seg": 1.0},
    "handlers": [{"_target_": "A", "x": 1}],
}


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("max_epoch", 3, "did you mean --max_epochs"),
        ("loss_weights#sge", 3, "did you mean --loss_weights#seg"),
        ("nothing_like_it", 3, "there is no such setting"),
        ("max_epochs", 2.5, "expected a whole number such as 100"),
        ("max_epochs", "many", "expected a whole number"),
        ("max_epochs", True, "expected a whole number"),
        ("learning_rate", "high", "expected a number such as 0.0003"),
        ("resume", "false", "True or False, with a capital letter"),
        ("amp", "true", "True or False, with a capital letter"),
        ("crop_size", 128, "expected a list such as"),
        ("reader", 3, "expected a text such as ITKReader"),
        ("loss_weights", 1, "expected a dictionary"),
    ],
)
def test_wrong_overrides(name, value, text):
    with pytest.raises(ValueError, match=f"--{name}.*{text}"):
        preflight.check_overrides({name: value}, CONFIG)


def test_right_overrides():
    right = {
        "max_epochs": 3,
        "train::x": 1,
        "learning_rate": 1,
        "resume": "true",
        "amp": True,
        "crop_size": "$[64] * 2",
        "points": "points.json",
        "output": 7,
        "encoder#depth": 2,
        "encoder#channels": [3],
        "loss_weights#seg": 0,
        "handlers#0#_disabled_": True,
        "+handlers": [],
        "output_dir": "here",
    }
    preflight.check_overrides(right, {**CONFIG, "train": {"x": 2}}, allowed=["output_dir"])


def test_a_command_line_is_read_as_monai_reads_it(monkeypatch, in_root):
    assert preflight.parse_command(
        ["training", "--config_file", "['a.json','b.json']", "--x-y=3", "--n#c", "[1,2]"]
    ) == {
        "config_file": ["a.json", "b.json"],
        "x_y": 3,
        "n#c": [1, 2],
    }
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(
        sys, "argv", ["/env/monai/bundle/__main__.py", "run", "--config_file", str(EVALUATE), "--max_epoch", "3"]
    )
    with pytest.raises(ValueError, match=r"--max_epoch: .* --max_epochs"):
        preflight.check_command()
    assert sys.excepthook is preflight.show_error
    monkeypatch.setattr(sys, "argv", ["/env/bin/monailabel", "run", "--max_epoch", "3"])
    preflight.check_command()


def test_texts_that_would_be_changed_are_refused():
    preflight.check_texts(
        {"a": "@x#y", "b": "$f('#')", "c": "%d.json#e", "_f_": "comment #1", "g": ["x::y", "100%"], "h#i": 1}
    )
    with pytest.raises(ValueError, match=r"""^d is 'x/a#b', which is read as 'x/a::b'; write '\$"x/a\\x23b"' on the"""):
        preflight.check_texts({"d": "x/a#b"})
    with pytest.raises(ValueError, match=r"^n#l#1 is "):
        preflight.check_texts({"n": {"l": ["", "a#b"]}})
    for text, read in (("a#b", "'a'"), ("1#2", "1"), ("a#b/c", "'a'"), ("None#1", "None")):
        with pytest.raises(ValueError, match=f"^d is '{text}', which is read as {read}; write "):
            preflight.parse_command(["training", "--d", text])
    assert preflight.parse_command(["training", "--d", "None", "--e", "['a#b']"]) == {"e": ["a#b"]}


def test_faults_of_the_program_keep_their_traceback(capsys):
    error = TypeError("inner")
    preflight.show_error(TypeError, error, None)
    assert capsys.readouterr().err == "TypeError: inner\n"
    assert preflight.explain(KeyboardInterrupt()) is None


@pytest.mark.parametrize(
    "where", [(MultitaskLoss, "forward"), (InstanceTargetsd, "__call__"), (MultitaskLoss, "__init__")]
)
def test_an_error_of_numpy_within_a_run_keeps_its_traceback(domain_pair, tmp_path, in_root, capsys, monkeypatch, where):
    """Wherever it is: in a step, in a transform, in a component that the configuration makes."""

    def fault(*_args, **_settings):
        np.zeros(3).reshape(2, 2)

    monkeypatch.setattr(*where, fault)
    settings = {"source_dir": str(domain_pair.source), "checkpoint": str(tmp_path / "s.pt"), "work_dir": str(tmp_path)}
    with pytest.raises(Exception) as error:
        run_here(SOURCE, **settings)
    capsys.readouterr()
    preflight.show_error(error.type, error.value, error.tb)
    text = capsys.readouterr().err
    assert "Traceback (most recent call last)" in text and "in fault\n" in text
    assert "ValueError: cannot reshape array of size 3 into shape (2,2)" in text


@pytest.mark.parametrize("kind", [DataError, SettingError, DivergedError, StorageError])
def test_what_a_person_can_mend_is_one_line_wherever_it_is_raised(kind, capsys):
    def fault(_):
        raise kind("seed is -1, expected 0 or more")

    with pytest.raises(RuntimeError) as error:
        Compose([fault])(1)
    preflight.show_error(error.type, error.value, error.tb)
    assert capsys.readouterr().err == "error: seed is -1, expected 0 or more\n"
    with pytest.raises(RuntimeError) as error:
        next(iter(DataLoader(Dataset([1], Compose([fault])), num_workers=1)))
    assert preflight.explain(error.value) == "seed is -1, expected 0 or more"


def test_log_loses_only_tracebacks_that_get_a_line():
    def record(error):
        found = logging.LogRecord("n", logging.ERROR, "f", 1, "m", None, (type(error), error, None))
        assert preflight.drop_traceback(found)
        return found

    assert record(DataError("d")).exc_info is None
    assert record(SettingError("s")).exc_info is None
    assert record(DivergedError("v")).exc_info is None
    assert record(ValueError("v")).exc_info is not None
    assert record(TypeError("t")).exc_info is not None


@pytest.mark.slow
def test_command_ends_with_one_line_and_a_failure(domain_pair, source_weights, tmp_path):
    settings = {
        "source_dir": domain_pair.source,
        "dataset_dir": "/nowhere",
        "init_checkpoint": source_weights,
        "work_dir": tmp_path,
    }
    done = call(command("run", "training", *flags(ADAPT, **settings)))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: /nowhere: no such folder")
    assert "Traceback" not in done.stdout + done.stderr
