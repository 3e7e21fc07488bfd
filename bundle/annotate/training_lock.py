"""Records which training runs in a work folder, so that every server finds it, also after a restart."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from bundle.errors import DataError
from bundle.json_files import read_json

PATIENCE = 1.0
"""Seconds to wait for the lock: a process that only checks it holds it for a moment."""


class BusyError(Exception):
    """A training runs already."""


class Run(NamedTuple):
    """A training.

    Attributes:
        group: its process group.
        host: the machine that it runs on.
        began: seconds since 1970.
        method: ``lpo`` or ``slpo``.
        log: path of its log.
    """

    group: int
    host: str
    began: float
    method: str
    log: str


class Outcome(NamedTuple):
    """How a training ended, as :mod:`bundle.annotate.lifeline` noted it down.

    Attributes:
        code: exit status, negative for a signal.
        orphaned: the server that started it was gone first.
        ended: seconds since 1970.
    """

    code: int
    orphaned: bool
    ended: float


class TrainingLock:
    """A file that the processes of a training hold locked as long as any of them lives, and that names the training.

    Args:
        folder: work folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "training.lock"
        self.outcome_path = folder / "training-outcome.json"

    @contextmanager
    def taken(self) -> Iterator[IO[str]]:
        """Hold the lock; a child process that inherits the file keeps it.

        Raises:
            BusyError: a training holds it.
            OSError: the file cannot be written.
        """
        with self.path.open("a+", encoding="utf-8") as file:
            end = time.monotonic() + PATIENCE
            while not _locked(file, fcntl.LOCK_EX):
                if time.monotonic() > end:
                    raise BusyError(f"a training that another server started runs in {self.path.parent}")
                time.sleep(0.05)
            os.truncate(file.fileno(), 0)  # it names the last training
            yield file

    def is_held(self) -> bool:
        """Whether a training runs. One whose file this user may not read counts as none."""
        try:
            with self.path.open(encoding="utf-8") as file:
                # A shared lock: two processes that only check do not see each other.
                return not _locked(file, fcntl.LOCK_SH)
        except OSError:
            return False

    def name(self, file: IO[str], run: Run) -> None:
        """Write down which training holds the lock, which is taken."""
        file.write(json.dumps(run._asdict()))
        file.flush()

    def run(self) -> Run | None:
        """The training that holds the lock, or held it last; None where that cannot be told."""
        try:
            return Run(**read_json(self.path))
        except (DataError, TypeError):
            return None

    def outcome(self) -> Outcome | None:
        """How the last training ended; None where its process was killed before it could record it."""
        try:
            return Outcome(**read_json(self.outcome_path))
        except (DataError, TypeError):
            return None


def _locked(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
