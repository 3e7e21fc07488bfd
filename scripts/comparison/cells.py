"""Commands of the bundle whose results are kept: what is there is not made again."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

from bundle.atomic import make_folder, storage_errors
from bundle.config_text import config_text
from bundle.handlers.model_overlay import overlays_of
from scripts.comparison.bundle_process import run_bundle


class CellError(RuntimeError):
    """A command of the bundle failed; the message names its log."""


@dataclass(frozen=True)
class Task:
    """Something to do.

    Attributes:
        work: does it.
        after: names of the tasks that it waits for.
    """

    work: Callable[[], None]
    after: Sequence[str] = ()


@dataclass
class Cells:
    """Runs commands, each of which ends with a file; one whose file exists is passed over.

    Attributes:
        overlays: configs of the schedule, below ``configs`` or absolute.
        common: settings of all commands.
        jobs: cells at a time; the processor's cores are shared out among them.
    """

    overlays: Sequence[str]
    common: dict[str, object]
    jobs: int

    def bundle(
        self, result: Path, run_id: str, configs: Sequence[str], weights: Path | None = None, **options: object
    ) -> None:
        """Run a command of the bundle; its output goes to a log beside the result.

        Args:
            result: the file that it ends with.
            run_id: what to run.
            configs: a complete configuration and what is laid over it, behind the schedule; below ``configs``.
            weights: checkpoint that it loads, whose overlay goes behind the schedule too; None if it loads none.
            options: further settings; those that are None are left to the configuration.

        Raises:
            CellError: it failed.
            StorageError: the log cannot be written.
        """
        if result.is_file():
            return
        make_folder(result.parent)
        log, work = result.with_suffix(".log"), result.with_suffix(".work")
        overlays = [*self.overlays, *([] if weights is None else map(str, overlays_of(weights)))]
        files = [str(Path("configs") / name) for name in (configs[0], *overlays, *configs[1:])]
        arguments = ["run", run_id, "--config_file", str(files)]
        for key, value in {**self.common, "work_dir": work, "resume": True, **options}.items():
            if value is not None:
                arguments += [f"--{key}", config_text(value.resolve()) if isinstance(value, Path) else str(value)]
        with storage_errors(log, log):  # a command that failed on a full disk could not write that to its log either
            log.write_text(f"python -m monai.bundle {shlex.join(arguments)}\n")
            code = run_bundle(arguments, log, threads=max(1, (os.cpu_count() or 1) // self.jobs))
            if code != 0:
                last = log.read_text(errors="replace").strip().splitlines()[-1]
                raise CellError(f"{last} (exit status {code}, see {log})")
        shutil.rmtree(work, ignore_errors=True)

    def run(self, tasks: Mapping[str, Task]) -> None:
        """Do every task once those that it waits for are done, ``jobs`` at a time.

        Args:
            tasks: by name; of those that are ready the first named begins first.

        Raises:
            CellError: a task failed; those that run are waited for, no other is begun.
        """
        order = TopologicalSorter({name: task.after for name, task in tasks.items()})
        order.prepare()
        running: dict[Future[None], str] = {}
        ready: list[str] = []
        with ThreadPoolExecutor(self.jobs) as pool:
            while order.is_active():
                ready = sorted([*ready, *order.get_ready()], key=list(tasks).index)
                while ready and len(running) < self.jobs:
                    name = ready.pop(0)
                    running[pool.submit(timed, name, tasks[name].work)] = name
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    done.result()
                    order.done(running.pop(done))


def timed(name: str, work: Callable[[], object]) -> None:
    """Do a task and tell how long it took."""
    with stopwatch() as seconds:
        print(f"  {name} ...", flush=True)
        work()
    print(f"  {name}: done in {seconds():.0f} s", flush=True)


@contextmanager
def stopwatch() -> Iterator[Callable[[], float]]:
    """Yield a function that tells the seconds since the start."""
    start = time.monotonic()
    yield lambda: round(time.monotonic() - start, 1)
