"""``python -m monai.bundle`` without its start: imports take as long as some commands of a comparison."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from collections.abc import Sequence
from multiprocessing.connection import wait
from pathlib import Path
from threading import Lock

import torch

ROOT = Path(__file__).resolve().parents[2]

# Each command gets a process of its own, forked from one that has done nothing but import.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["monai.bundle", "bundle.engines", "bundle.handlers", "bundle.networks", "bundle.inferers"]
)

# Process.start() reaps finished children; without the lock, join() in another thread would lose the exit code.
ONE_ASKS = Lock()


def run_bundle(arguments: Sequence[str], log: Path, threads: int) -> int:
    """Run a command in the repository's root.

    Args:
        arguments: what stands behind ``python -m monai.bundle``.
        log: its output is added here.
        threads: of PyTorch.

    Returns:
        Its exit status; below 0 the signal that ended it.
    """
    process = FORKS.Process(target=_run_here, args=(list(arguments), str(log), threads))
    with ONE_ASKS:
        process.start()
    wait([process.sentinel])
    with ONE_ASKS:
        process.join()
    return process.exitcode if process.exitcode is not None else 1


def _run_here(arguments: list[str], log: str, threads: int) -> None:
    with Path(log).open("a") as out:
        os.dup2(out.fileno(), sys.stdout.fileno())
        os.dup2(out.fileno(), sys.stderr.fileno())
    torch.set_num_threads(threads)
    os.chdir(ROOT)
    sys.argv = ["monai.bundle", *arguments]
    try:
        runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
    except Exception:
        # as an interpreter ends; multiprocessing would print a traceback whatever hook is set
        sys.excepthook(*sys.exc_info())
        sys.exit(1)
