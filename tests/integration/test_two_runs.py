"""Runs that meet in one work folder, at the same time or one after the other."""

import logging
import shutil
import subprocess

import pytest
import torch

from tests.integration.commands import ADAPT, ROOT, SOURCE, call, command, environment, flags, refusal, run_here
from tests.integration.test_training import STATE, epochs, read


def refused(files, **settings):
    return refusal(lambda: run_here(files, **settings))


@pytest.mark.slow
def test_second_run_ends_with_one_line_and_the_first_goes_on(settings, tmp_path):
    line = command("run", "training", *flags(ADAPT, **{**settings, "max_epochs": 1000, "epoch_length": 100}))
    with subprocess.Popen(line, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True) as first:
        for text in first.stdout:
            if "Epoch[1] Complete" in text:
                break
        second = call(line)
        assert first.poll() is None, "the first must still run for this test to say anything"
        assert any("] Complete" in text for text in first.stdout)
        first.kill()
    assert second.returncode == 1 and "Traceback" not in second.stdout + second.stderr
    last = second.stderr.splitlines()[-1]
    assert last.startswith(f"error: {tmp_path / 'work'}: another run is at work there (process {first.pid} on ")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"learning_rate": 0.5}, "learning_rate 0.0003, not 0.5"),
        ({"crop_size": [40, 32]}, "crop_size [32, 32], not [40, 32]"),
        ({"seed": 1}, "seed 0, not 1"),
        ({"loss_weights#seg": 2.0}, "loss_weights.seg 1.0, not 2.0"),
        ({"normalize#0#upper": 99.0}, "normalize.0.upper 99.5, not 99.0"),
        ({"points": "points_100.json"}, "target_data '3 images, 3 clicks, "),
        ({"network_def#dense_prompts": False}, "network_def.dense_prompts True, not False"),
    ],
    ids=lambda value: None if isinstance(value, str) else next(iter(value)),
)
def test_another_run_is_not_resumed(settings, source_weights, tmp_path, change, text):
    # without their overlay, which would refuse other settings of the model before
    settings["init_checkpoint"] = str(shutil.copy(source_weights, tmp_path))
    run_here(ADAPT, **settings)
    before = (tmp_path / "work" / STATE).read_bytes(), (tmp_path / "models" / "adapted.pt").read_bytes()
    found = refused(ADAPT, **{**settings, "max_epochs": 2, **change}, resume=True)
    assert f"{tmp_path / 'work' / STATE}: its run had " in found and text in found
    assert "Resume with the same settings, or start anew" in found
    assert before == ((tmp_path / "work" / STATE).read_bytes(), (tmp_path / "models" / "adapted.pt").read_bytes())


def test_another_stage_is_not_resumed(settings):
    run_here(ADAPT, **settings)
    source = {name: settings[name] for name in ("source_dir", "checkpoint", "work_dir")}
    assert "trainer 'AdaptationTrainer', not 'SourceTrainer'" in refused(SOURCE, **source, max_epochs=2, resume=True)


def test_what_does_not_make_the_run_may_change(settings, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    run_here(ADAPT, **settings)
    other = {"checkpoint": str(tmp_path / "other.pt"), "max_epochs": 2, "num_workers": 1, "val_interval": 1}
    run_here(ADAPT, **{**settings, **other}, val_split="test", sw_batch_size=2, resume=True)
    assert epochs(caplog.text)[-1] == 2


def test_state_without_settings_is_resumed_with_a_warning(settings, tmp_path, caplog):
    run_here(ADAPT, **settings)
    state = read(tmp_path / "work" / STATE)
    del state["settings"]
    torch.save(state, tmp_path / "work" / STATE)
    run_here(ADAPT, **{**settings, "max_epochs": 2}, resume=True)
    (line,) = [r.getMessage() for r in caplog.records if "did not write down its settings" in r.getMessage()]
    assert "see to it that this one has the same" in line
    assert read(tmp_path / "work" / STATE)["position"]["epoch"] == 2


def test_new_run_says_that_it_will_overwrite_another(settings, caplog):
    run_here(ADAPT, **settings)
    assert "is of an earlier run" not in caplog.text
    run_here(ADAPT, **settings)
    assert "is of an earlier run, and is overwritten when the first epoch of this one is complete" in caplog.text


@pytest.mark.parametrize("part", ["network", "teacher", "optimizer", "exemplars"])
def test_poisoned_state_is_not_resumed(settings, tmp_path, part):
    run_here(ADAPT, **{**settings, "points": "points_100.json"})
    state = read(tmp_path / "work" / STATE)
    tensors = {
        "network": lambda: next(v for v in state["network"].values() if v.is_floating_point()),
        "teacher": lambda: next(v for v in state["teacher"].values() if v.is_floating_point()),
        "optimizer": lambda: state["optimizer"]["state"][0]["exp_avg"],
        "exemplars": lambda: state["exemplars"]["_extra_state"]["exemplars"],
    }
    tensors[part]().view(-1)[0] = torch.nan
    torch.save(state, tmp_path / "work" / STATE)
    found = refused(ADAPT, **{**settings, "points": "points_100.json", "max_epochs": 2}, resume=True)
    assert f"{STATE}: {part}." in found and "holds nan: that run diverged; start anew" in found


def test_malformed_state_is_one_line(settings, tmp_path):
    run_here(ADAPT, **settings)
    path = tmp_path / "work" / STATE
    good = read(path)
    for change, text in (
        ({"optimizer": {}}, "its optimizer does not fit"),
        ({"position": 3}, "not the state of a run of this kind"),
        ({"position": {"epoch": 1}}, "not the state of a run of this kind"),
    ):
        torch.save({**good, **change}, path)
        assert text in refused(ADAPT, **{**settings, "max_epochs": 2}, resume=True)
