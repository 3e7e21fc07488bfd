"""The process in which hostile input is read, so that only this process dies of it."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import resource
import shutil
import time
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import NamedTuple

import torch

from scripts.fuzzing.target import BrokenPromise, Target

ACCEPTED, REFUSED, ERROR, BROKEN = "accepted", "refused", "error", "broken"
READY, GO = "ready", "go"


class Reply(NamedTuple):
    """What a child says of a case that it survived.

    Attributes:
        number: of the case.
        kind: ``accepted``, ``refused`` in one line, ``error`` of a kind that should not come out, or ``broken``
            promise.
        text: the line, or the traceback.
        seconds: that it took.
        peak: largest memory meanwhile, in MiB.
    """

    number: int
    kind: str
    text: str
    seconds: float
    peak: float


def serve(connection: Connection, targets: Mapping[str, type[Target]], seed: int, folder: Path, log: Path) -> None:
    """Work on cases until there are no more.

    Args:
        connection: gives (name of a target, numbers of cases), at last None. Takes ``READY`` when the target is set
            up, then a :class:`Reply` for each case, and gives ``GO`` when the next one may take the place of its input.
        targets: by name.
        seed: of all cases.
        folder: of this child alone; the input of the present case lies in its folder ``given``.
        log: file for what this process and its libraries print; emptied before each case.
    """
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    faulthandler.enable()  # says where in Python a signal came
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    torch.set_num_threads(1)
    opened: dict[str, Target] = {}
    given = folder / "given"
    with contextlib.ExitStack() as held:
        while (task := connection.recv()) is not None:
            name, numbers = task
            if name not in opened:
                (folder / name).mkdir(parents=True)
                opened[name] = targets[name](folder / name)
                held.callback(opened[name].close)
            connection.send(READY)
            for number in numbers:
                os.ftruncate(2, 0)
                connection.send(run_case(opened[name], number, Random(f"{seed} {name} {number}"), given))
                if connection.recv() != GO:
                    return


def run_case(target: Target, number: int, random: Random, given: Path) -> Reply:
    """Make the input of a case, and attack with it.

    Args:
        target: what is attacked.
        number: of the case.
        random: its source of chance.
        given: folder for the input.
    """
    shutil.rmtree(given, ignore_errors=True)
    given.mkdir()
    for name, content in target.mutate(random).items():
        (given / name).write_bytes(content)
    Path("/proc/self/clear_refs").write_text("5")  # the peak of memory is measured from here
    start = time.monotonic()
    try:
        line = target.attack(given)
        kind, text = (ACCEPTED, "") if line is None else (REFUSED, line)
    except BrokenPromise as error:
        kind, text = BROKEN, "".join(traceback.format_exception(error))
    except Exception as error:
        kind, text = ERROR, "".join(traceback.format_exception(error))
    return Reply(number, kind, text, time.monotonic() - start, peak_memory(os.getpid()))


def peak_memory(process: int) -> float:
    """Largest memory of a process in MiB, since its mark was set back."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
