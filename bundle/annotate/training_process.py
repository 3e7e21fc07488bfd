"""Training from the page: stage 2 on the judgements given so far, one at a time, in a process group of its own."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal

from bundle.annotate.lifeline import PATIENCE
from bundle.annotate.training_lock import BusyError, Run, TrainingLock
from bundle.config_text import config_text
from bundle.errors import DataError, StorageError, is_full
from bundle.json_files import read_json
from bundle.preferences.store.judgement_store import JudgementStore

Method = Literal["lpo", "slpo"]
LIFELINE = (sys.executable, "-m", "bundle.annotate.lifeline")
METHODS: tuple[Method, ...] = ("lpo", "slpo")

logger = logging.getLogger(__name__)


class Training:
    """Stage 2 (``configs/prefer.json``) as a subprocess.

    It holds a lock in its work folder while it runs, so there is one at a time even where two servers serve one folder;
    each shows, and may stop, a training of the other. A training ends with the server that started it, even if that is
    killed (:mod:`bundle.annotate.lifeline`), and the next server reports it. Logs are kept in the folder, each in a
    file of its own.

    Args:
        root: the repository, where bundle commands run.
        overlays: configuration files that go right behind ``train.json``.
        settings: of the command, by id; ``work_dir`` and ``checkpoint`` must be among them.
        points: points file that is used if it is there when the training starts.
        store: whose judgements it learns from.
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
        self._lock = TrainingLock(self.work)
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._run: Run | None = None
        self._watcher: threading.Thread | None = None
        self._state = "idle"
        self._message = ""
        self._ended = 0.0
        self._stopping = False
        with self._turn:
            self._look_for_another()
        self._look_for_an_end()

    def command(self, method: Method) -> list[str]:
        """What is started, as a person could type it in the repository's root."""
        files = ("configs/train.json", *map(str, self.overlays), "configs/prefer.json", "configs/annotate.json")
        configs = f"[{','.join(map(repr, files))}]"
        settings = {**self.settings, "method": method}
        if self.points.is_file():
            settings["points"] = str(self.points)
        flags = [part for name, value in settings.items() for part in (f"--{name}", config_text(value))]
        return [sys.executable, "-m", "monai.bundle", "run", "training", "--config_file", configs, *flags]

    def start(self, method: Method) -> None:
        """Start a training.

        Args:
            method: ``lpo``, or ``slpo`` with a heavier anchor where nobody judged.

        Raises:
            BusyError: one runs already.
            DataError: no candidate was chosen yet, or the work folder cannot be written (StorageError where
                its disk is full).
        """
        if not self.counts()["chosen"]:
            raise DataError("no vote names a best candidate yet; there is nothing to learn from")
        with self._turn:
            self._look_for_another()
            if self._state == "running":
                whose = "" if self._process else f" that another server started in {self.work}"
                raise BusyError(f"a training{whose} runs already; wait for its end, or stop it")
            try:
                self._launch(method)
            except OSError as error:
                kind = StorageError if is_full(error) else DataError
                raise kind(f"{self.work}: cannot be written ({error.strerror})") from None

    def stop(self) -> None:
        """Stop the training, if one runs, whichever server started it, and wait for its end.

        Raises:
            DataError: it runs on another machine, or is another user's.
        """
        with self._turn:
            self._look_for_another()
            run, watcher = self._run, self._watcher
            if run is None or watcher is None or self._state != "running":
                return
            if run.host != socket.gethostname():
                raise DataError(f"the training runs on {run.host}; stop it there")
            self._stopping = True
        for number in (signal.SIGTERM, signal.SIGKILL):
            _signal_group(run.group, number)
            watcher.join(PATIENCE)
            if not watcher.is_alive():
                return
            logger.warning("the training goes on after %s", number.name)

    def close(self) -> None:
        """Stop the training if this server started it."""
        if self._process is not None:
            self.stop()

    def status(self) -> dict[str, Any]:
        """How the training is getting on.

        Returns:
            ``state`` (``idle``, ``running``, ``done``, ``failed`` or ``stopped``), ``method``, ``message`` (one line,
            why it failed), ``seconds``, ``progress`` (what :class:`bundle.handlers.ProgressFile` wrote,
            None before it has begun), ``picture`` (there is one of before and after), ``commands`` (by method),
            ``advised`` (the method that suits the share answered), ``checkpoint``, ``log``, and :meth:`counts`.
        """
        with self._turn:
            self._look_for_another()
            state, message, run = self._state, self._message, self._run
            seconds = max(0.0, (time.time() if state == "running" else self._ended) - run.began) if run else 0.0
        counts = self.counts()
        return {
            "state": state,
            "method": run.method if run else None,
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
        """What there is to learn from: ``questions``, those ``answered``, those with a ``chosen`` candidate."""
        given = self.store.judgements(kind="person")
        return {
            "questions": len(self.store.questions()),
            "answered": len({judgement.question.id for judgement in given}),
            "chosen": len({judgement.question.id for judgement in given if isinstance(judgement.chosen, int)}),
        }

    @property
    def picture(self) -> Path:
        """Path of the picture of the judged regions and of the mask before and after."""
        return self.work / "pictures" / "judgements.png"

    def shown(self, method: Method) -> str:
        """The command for a person to copy, with paths as seen from the repository."""
        base = f"{self.root}{os.sep}"
        parts = [quoted(part.replace(base, "")) for part in self.command(method)]
        return " ".join(parts).replace(" --", " \\\n  --")

    def _launch(self, method: Method) -> None:
        self.work.mkdir(parents=True, exist_ok=True)
        with self._lock.taken() as lock:
            for old in (self.work / "progress.json", self.picture, self._lock.outcome_path):
                old.unlink(missing_ok=True)
            with self._new_log() as log:
                # the processes inherit the lock; it is free when all have ended, even if killed
                process = subprocess.Popen(
                    [*LIFELINE, str(self._lock.outcome_path), *self.command(method)],
                    cwd=self.root,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(lock.fileno(),),
                )
            run = Run(process.pid, socket.gethostname(), time.time(), method, log.name)
            try:
                self._lock.name(lock, run)
            except OSError:
                _signal_group(process.pid, signal.SIGKILL)
                process.wait()
                raise
        self._follow(run, process)

    def _new_log(self) -> IO[bytes]:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        for number in range(1, 1000):
            try:
                return (self.work / f"training-{stamp}{f'-{number}' if number > 1 else ''}.log").open("xb")
            except FileExistsError:
                continue
        raise FileExistsError(0, f"there are too many files training-{stamp}")

    def _follow(self, run: Run, process: subprocess.Popen[bytes] | None) -> None:
        self._run, self._process, self.log = run, process, Path(run.log)
        self._state, self._message, self._stopping = "running", "", False
        self._watcher = threading.Thread(target=self._wait, args=(run, process), daemon=True)
        self._watcher.start()

    def _look_for_another(self) -> None:
        """Follow a training of another server, if one runs."""
        if self._state != "running" and self._lock.is_held():
            run = self._lock.run()
            if run is not None:
                self._follow(run, None)

    def _look_for_an_end(self) -> None:
        """At the start: report a training that failed or ended while no server ran."""
        run, outcome = self._lock.run(), self._lock.outcome()
        if run is None or self._state == "running" or (outcome and outcome.code == 0 and not outcome.orphaned):
            return
        self._run, self.log = run, Path(run.log)
        self._end(None)

    def _wait(self, run: Run, process: subprocess.Popen[bytes] | None) -> None:
        code = process.wait() if process else None
        while self._lock.is_held() and self._lock.run() == run:  # another server's, or its workers still run
            time.sleep(0.2)
        self._end(code)

    def _end(self, code: int | None) -> None:
        """Say how the training ended.

        Args:
            code: exit status of its process, if this server started it; counts if no other was noted down.
        """
        outcome = self._lock.outcome()
        if outcome is not None:
            code = outcome.code
        elif code is not None and code > 128:
            code = 128 - code
        state, message = "failed", ""
        if code == 0:
            state, message = self._show_weights()
        elif self._stopping or (code == -signal.SIGTERM and not (outcome and outcome.orphaned)):
            state = "stopped"
        elif outcome is not None and outcome.orphaned:
            message = "the training was ended because the server that had started it was gone; start it again"
        elif code is None:
            message = "the training was killed, or the machine went down; start it again"
        elif code < 0:
            message = f"the training was ended by {signal.Signals(-code).name}"
        else:
            message = self._last_line()
        with self._turn:
            self._state, self._message, self._ended = state, message, outcome.ended if outcome else time.time()

    def _show_weights(self) -> tuple[str, str]:
        try:
            self.trained(Path(self.settings["checkpoint"]))
        except Exception as error:
            logger.exception("the new weights cannot be shown")
            return "failed", str(error).partition("\n")[0]
        return "done", ""

    def _last_line(self) -> str:
        try:
            text = self.log.read_bytes()[-4096:].decode(errors="replace") if self.log else ""
        except OSError as error:
            return f"the log cannot be read ({error.strerror})"
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
    except PermissionError:
        raise DataError("the training is another user's; only they can stop it") from None
