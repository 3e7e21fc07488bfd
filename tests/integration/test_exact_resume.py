"""A training that was interrupted ends with the weights, bit for bit, of one that was not.

``KILLS=10`` in the environment kills each of the three trainings at ten random moments rather than at one.
"""

import os
import random
import subprocess
import time
from typing import Any

import pytest

from bundle.engines.parts_trainer import PartsTrainer
from tests.integration.commands import ADAPT, ROOT, SOURCE, call, command, environment, flags, run_here
from tests.integration.test_training import equal, read

STAGES = {"source": SOURCE, "adapt": ADAPT, "prefer": ["configs/train.json", "configs/prefer.json"]}
KILLS = int(os.environ.get("KILLS", "1"))


@pytest.fixture(params=STAGES)
def stage(request, domain_pair, source_weights, tmp_path, in_root):
    """Files and settings of a training; ``{run}`` in the settings is its folder."""
    settings: dict[str, Any] = {
        "source_dir": domain_pair.source,
        "dataset_dir": domain_pair.target,
        "init_checkpoint": source_weights,
        "points": "points_15.json",
        "region_size_nm": 160.0,
        "candidates_count": 4,
        "annotator": "oracle",
        "feedback_every": 2,
        "store": "{run}/preferences.sqlite",
        "candidates_dir": "{run}/candidates",
        "checkpoint": "{run}/weights.pt",
        "work_dir": "{run}/work",
        "pictures_dir": "{run}/pictures",
        "max_epochs": 4,
        "epoch_length": 3,
    }
    left_out = {
        "source": ("dataset_dir", "init_checkpoint", "points"),
        "adapt": (),
        "prefer": ("source_dir",),
    }[request.param]
    of_prefer = ("region_size_nm", "candidates_count", "annotator", "feedback_every", "store", "candidates_dir")
    if request.param != "prefer":
        left_out = (*left_out, *of_prefer, "pictures_dir")
    return STAGES[request.param], {name: value for name, value in settings.items() if name not in left_out}


def at(folder, settings):
    return {name: str(value).format(run=folder) if "dir" in name or "{" in str(value) else value
            for name, value in settings.items()}  # fmt: skip


def test_a_failed_run_that_goes_on(stage, tmp_path, monkeypatch):
    files, settings = stage
    run_here(files, **at(tmp_path / "whole", settings))

    check = PartsTrainer.check_weights

    def fail(self):
        if self.state.epoch == 3:
            raise RuntimeError("the power went off")
        check(self)

    with monkeypatch.context() as patch:
        patch.setattr(PartsTrainer, "check_weights", fail)
        with pytest.raises(RuntimeError):
            run_here(files, **at(tmp_path / "parts", settings))
    assert not (tmp_path / "parts" / "weights.pt").exists()
    run_here(files, **at(tmp_path / "parts", settings), resume=True)
    assert equal(read(tmp_path / "whole" / "weights.pt"), read(tmp_path / "parts" / "weights.pt"))


@pytest.mark.slow
def test_killed_at_any_moment(stage, tmp_path):
    files, settings = stage
    start = time.monotonic()
    done = call(command("run", "training", *flags(files, **at(tmp_path / "whole", settings))))
    assert done.returncode == 0, done.stderr
    seconds = time.monotonic() - start

    line = command("run", "training", *flags(files, **at(tmp_path / "parts", settings), resume=True))
    moments = random.Random(0)
    for _ in range(KILLS):
        with subprocess.Popen(line, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL) as run:
            try:
                run.wait(moments.uniform(0.3, 0.95) * seconds)
            except subprocess.TimeoutExpired:
                run.kill()
    done = call(line)
    assert done.returncode == 0, done.stderr
    assert equal(read(tmp_path / "whole" / "weights.pt"), read(tmp_path / "parts" / "weights.pt"))
