"""Training from the page: stage 2 on the answers given so far, one at a time, in a process group of its own."""

from __future__ import annotations

import fcntl
import logging
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from bundle.data.json_files import read_json
from bundle.errors import DataError
from bundle.preferences.store import JudgementStore

Method = Literal["lpo", "slpo"]
METHODS: tuple[Method, ...] = ("lpo", "slpo")
NICE = 3
"""Clicks and votes come first."""
PATIENCE = 10.0
"""Seconds that a training may take to end when it is told to."""

logger = logging.getLogger(__name__)


class BusyError(Exception):
    """A training runs already."""


class Training:
    """Stage 2 (``configs/prefer.json``) as a subprocess.

    It holds a lock in its work folder as long as it lives, so that there is one at a time also where a server was
    killed, or two serve one folder. Its log is kept there, each in a file of its own.

    Args:
        root: the repository, where bundle commands run.
        overlays: configuration files that go right behind ``train.json``.
        settings: of the command, by id; ``work_dir`` and ``checkpoint`` must be among them.
        points: points file that is used if it is there when the training starts.
        store: whose answers it learns from.
        trained: called with the path of the new weights after a training that succeeded.
    """

    def __init__(
        self,
        root: Path,
        overlays: Sequence[Path],
        settings: Mapping[str, object],
        points: Path,
        store: JudgementStore,
        trained: Callable[[Path], None],
    ) -> None:
        self.root = root
        self.overlays = list(overlays)
        self.settings = {name: str(value) for name, value in settings.items()}
        self.points = points
        self.store = store
        self.trained = trained
        self.work = Path(self.settings["work_dir"])
        self.log: Path | None = None
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: threading.Thread | None = None
        self._state = "idle"
        self._message = ""
        self._method: Method | None = None
        self._started = self._ended = 0.0
        self._stopping = False

    def command(self, method: Method) -> list[str]:
        """What is started, as a person could type it in the repository's root."""
        files = ("configs/train.json", *map(str, self.overlays), "configs/prefer.json", "configs/annotate.json")
        configs = f"[{','.join(map(repr, files))}]"
        settings = {**self.settings, "method": method}
        if self.points.is_file():
            settings["points"] = str(self.points)
        flags = [part for name, value in settings.items() for part in (f"--{name}", value)]
        return [sys.executable, "-m", "monai.bundle", "run", "training", "--config_file", configs, *flags]

    def start(self, method: Method) -> None:
        """Start a training.

        Args:
            method: ``slpo`` holds the mask more firmly than ``lpo`` where nobody judged.

        Raises:
            BusyError: one runs already.
            DataError: nobody has named a best candidate yet, or the work folder cannot be written.
        """
        if not self.counts()["winners"]:
            raise DataError("no vote names a best candidate yet; there is nothing to learn from")
        with self._turn:
            if self._state == "running":
                raise BusyError("a training runs already; wait for its end, or stop it")
            try:
                self._launch(method)
            except OSError as error:
                raise DataError(f"{self.work}: cannot be written ({error.strerror})") from None

    def stop(self) -> None:
        """Stop the training, if one runs, and wait for its end."""
        with self._turn:
            process, watcher = self._process, self._watcher
            if process is None or watcher is None or self._state != "running":
                return
            self._stopping = True
        for number in (signal.SIGTERM, signal.SIGKILL):
            _signal_group(process.pid, number)
            try:
                process.wait(PATIENCE)
                break
            except subprocess.TimeoutExpired:
                logger.warning("the training goes on after %s", number.name)
        _signal_group(process.pid, signal.SIGKILL)  # workers that outlived it
        watcher.join(PATIENCE)

    def status(self) -> dict[str, Any]:
        """How the training is getting on.

        Returns:
            ``state`` (``idle``, ``running``, ``done``, ``failed`` or ``stopped``), ``method``, ``message`` (one line,
            why it failed), ``seconds``, ``progress`` (what :class:`bundle.annotate.progress_file.ProgressFile` wrote,
            None before it has begun), ``picture`` (there is one of before and after), ``commands`` (by method),
            ``advised`` (the method that suits the share answered), ``checkpoint``, ``log``, and :meth:`counts`.
        """
        with self._turn:
            state, method, message = self._state, self._method, self._message
            seconds = (time.monotonic() if state == "running" else self._ended) - self._started
        counts = self.counts()
        return {
            "state": state,
            "method": method,
            "message": message,
            "seconds": seconds,
            "progress": self._progress() if state != "idle" else None,
            "picture": state == "done" and self.picture.is_file(),
            "commands": {name: self.shown(name) for name in METHODS},
            "advised": "lpo" if counts["answered"] >= counts["questions"] / 2 else "slpo",
            "checkpoint": self.settings["checkpoint"],
            "log": str(self.log) if self.log else None,
            **counts,
        }

    def counts(self) -> dict[str, int]:
        """What there is to learn from: ``questions``, those ``answered``, those with a best candidate: ``winners``."""
        given = self.store.judgements(kind="person")
        return {
            "questions": len(self.store.questions()),
            "answered": len({judgement.question.id for judgement in given}),
            "winners": len({judgement.question.id for judgement in given if isinstance(judgement.answer, int)}),
        }

    @property
    def picture(self) -> Path:
        """Where the training draws what was judged, and the mask before and after."""
        return self.work / "pictures" / "judgements.png"

    def shown(self, method: Method) -> str:
        """The command for a person to copy, with paths as seen from the repository."""
        base = f"{self.root}{os.sep}"
        parts = [quoted(part.replace(base, "")) for part in self.command(method)]
        return " ".join(parts).replace(" --", " \\\n  --")

    def _launch(self, method: Method) -> None:
        self.work.mkdir(parents=True, exist_ok=True)
        with (self.work / "training.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BusyError(f"a training that another server started runs in {self.work}") from None
            for old in (self.work / "progress.json", self.picture):
                old.unlink(missing_ok=True)
            self.log = self.work / f"training-{time.strftime('%Y%m%d-%H%M%S')}.log"
            with self.log.open("wb") as log:
                # the lock goes with the process and is free when that ends, however it does
                self._process = subprocess.Popen(
                    self.command(method),
                    cwd=self.root,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(lock.fileno(),),
                )
        os.setpriority(os.PRIO_PGRP, self._process.pid, NICE)
        self._state, self._method, self._message, self._stopping = "running", method, "", False
        self._started = time.monotonic()
        self._watcher = threading.Thread(target=self._wait, args=(self._process,), daemon=True)
        self._watcher.start()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        state, message = ("done", "") if code == 0 else ("failed", self._last_line())
        if code < 0:
            message = f"the training was ended by {signal.Signals(-code).name}"
        if code == 0:
            try:
                self.trained(Path(self.settings["checkpoint"]))
            except Exception as error:
                logger.exception("the new weights cannot be shown")
                state, message = "failed", str(error).partition("\n")[0]
        with self._turn:
            if self._stopping and code != 0:
                state, message = "stopped", ""
            self._state, self._message, self._ended = state, message, time.monotonic()

    def _last_line(self) -> str:
        text = self.log.read_bytes()[-4096:].decode(errors="replace") if self.log else ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1][:500] if lines else "the training ended without a word"

    def _progress(self) -> Any:
        try:
            return read_json(self.work / "progress.json")
        except DataError:
            return None


def quoted(part: str) -> str:
    """A part of a command line as a shell reads it, a list of texts as the documents show it."""
    return f'"{part}"' if part.startswith("['") and not set(part) & set('"$`\\!') else shlex.quote(part)


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return
