"""Bundle commands on domains of a few pixels: in this process, or as a person types them."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import monai.bundle
import pytest

from bundle.preflight import explain
from scripts.fuzzing.tiny_network import NETWORK

ROOT = Path(__file__).resolve().parents[2]
ADAPT = ["configs/train.json"]
SOURCE = ["configs/train.json", "configs/source.json"]
EVALUATE = ["configs/train.json", "configs/evaluate.json"]

TRAINING = {
    "crop_size": [32, 32],
    "batch_size": 2,
    "num_workers": 0,
    "queries": 8,
    "negatives": 8,
    "max_epochs": 1,
    "epoch_length": 2,
}
TINY = {**NETWORK, **TRAINING}


def run_here(files: list[str], **settings: Any) -> None:
    """``monai.bundle run`` in this process; the working folder must be the repository root."""
    monai.bundle.run(config_file=files, logging_file=False, **{**TINY, **settings})


def refusal(run: Callable[[], object]) -> str:
    """The one line that a person reads of a command that is refused."""
    with pytest.raises(Exception) as error:
        run()
    line = explain(error.value)
    assert line is not None and "\n" not in line
    return line


def command(*arguments: str, module: tuple[str, ...] = ("-m", "monai.bundle")) -> list[str]:
    """A bundle command as a person types it."""
    return [sys.executable, *module, *arguments]


def flags(files: list[str], **settings: Any) -> list[str]:
    """Settings as a command line has them."""
    pairs = {**TINY, **settings}.items()
    return ["--config_file", str(files), *(part for name, value in pairs for part in (f"--{name}", str(value)))]


def environment() -> dict[str, str]:
    """For subprocesses: the tests share few cores."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def kill_after_first_epoch(line: list[str]) -> None:
    """Start a training and kill it as soon as it says that its first epoch is complete."""
    with subprocess.Popen(line, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True) as first:
        for text in first.stdout:
            if "Epoch[1] Complete" in text:
                first.kill()
                break
    assert first.wait() == -9


def call(arguments: list[str], timeout: float = 120) -> subprocess.CompletedProcess:
    """Run to the end in the repository root."""
    return subprocess.run(arguments, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=timeout)
