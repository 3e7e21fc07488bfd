"""Many cases in several children: who works on what, and what becomes of a child that crashes, hangs or grows."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple

from scripts.fuzzing.child import ACCEPTED, GO, READY, REFUSED, Reply, peak_memory, serve
from scripts.fuzzing.target import Target

CRASH, HANG, MEMORY = "crash", "hang", "memory"
PATIENCE = 10.0
"""Seconds that a case may take."""
LARGEST = 2048.0
"""MiB that a child may take."""
SETUP = 180.0
"""Seconds that it may take to import everything and to set a target up."""
TICK = 0.1
"""Seconds between looks at the children."""

# A child that died is forked anew from a process that has imported everything.
FORKS = multiprocessing.get_context("forkserver")

Task = tuple[str, Sequence[int]]


class Outcome(NamedTuple):
    """What became of a case.

    Attributes:
        target: name of the target.
        number: of the case.
        kind: a kind of :class:`scripts.fuzzing.child.Reply`, ``crash``, ``hang`` or ``memory``.
        text: the refusal, the traceback, or what the child had printed.
        seconds: that it took.
        peak: largest memory in MiB.
        given: folder with the input, until the next outcome is asked for.
    """

    target: str
    number: int
    kind: str
    text: str
    seconds: float
    peak: float
    given: Path

    @property
    def is_finding(self) -> bool:
        """Whether something has to be mended."""
        return self.kind not in (ACCEPTED, REFUSED)


class Child:
    """A child as its parent sees it.

    Args:
        targets: by name; classes that can be imported.
        seed: of all cases.
        folder: for all that the child writes.
        patience: seconds that a case may take.
        largest: MiB that the child may take.
    """

    def __init__(
        self, targets: Mapping[str, type[Target]], seed: int, folder: Path, patience: float, largest: float
    ) -> None:
        self.targets = dict(targets)
        self.seed = seed
        self.folder = folder
        self.patience = patience
        self.largest = largest
        self.log = folder.with_suffix(".log")
        self.name = ""
        self.left: list[int] = []
        self.blamed, self.seconds = -1, 0.0
        self.start()

    def start(self) -> None:
        """Begin a process, anew where the last one died."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.log.write_text("")
        self.connection, theirs = FORKS.Pipe()
        arguments = (theirs, self.targets, self.seed, self.folder, self.log)
        self.process = FORKS.Process(target=serve, args=arguments, daemon=True)
        self.process.start()
        theirs.close()
        self.ready, self.since, self.reason, self.peak = False, time.monotonic(), "", 0.0

    def give(self, task: Task) -> None:
        """Give it work."""
        self.name, self.left = task[0], list(task[1])
        self.ready, self.since = False, time.monotonic()
        self.connection.send((self.name, self.left))

    def take(self) -> Outcome | None:
        """Take what it sent, or its death.

        Raises:
            RuntimeError: it could not set its target up.
        """
        try:
            reply = self.connection.recv()
        except (EOFError, ConnectionError):
            return self.bury()
        self.since = time.monotonic()
        if reply == READY:
            self.ready = True
            return None
        self.left.remove(reply.number)
        if reply.seconds > self.patience:
            reply = reply._replace(kind=HANG)
        elif reply.peak > self.largest:
            reply = reply._replace(kind=MEMORY)
        return self._outcome(reply)

    def go_on(self) -> None:
        """Let it begin its next case, since the input of the last one was seen."""
        self.since = time.monotonic()
        with contextlib.suppress(OSError):
            self.connection.send(GO)

    def watch(self) -> None:
        """End it when its case takes too long or too much; its death is found later."""
        spent = time.monotonic() - self.since
        if self.reason:
            if spent > self.patience:
                self.process.kill()  # it did not even end when told to
            return
        try:
            self.peak = peak_memory(self.process.pid or 0)
        except (OSError, IndexError):  # it is gone
            return
        if self.left and spent > (self.patience if self.ready else SETUP):
            self.reason = HANG
        elif self.left and self.peak > self.largest:
            self.reason = MEMORY
        if self.reason:
            self.blamed, self.seconds, self.since = self.left[0], spent, time.monotonic()
            os.kill(self.process.pid or 0, signal.SIGABRT)  # at which faulthandler writes down where it was

    def bury(self) -> Outcome | None:
        """Say what a dead child died of, and start another, with the rest of its work.

        Returns:
            The outcome of its case; None where it was told to end just when it had finished that.
        """
        self.process.join()
        code = self.process.exitcode or 0
        printed = self.log.read_text(errors="replace").partition("\nExtension modules: ")[0]
        if not (self.left and self.ready):
            raise RuntimeError(f"{self.name or 'the child'} cannot be set up; it printed:\n{printed[-4000:]}")
        if self.reason and self.left[0] != self.blamed:
            self._restart()
            return None
        seconds = self.seconds if self.reason else time.monotonic() - self.since
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        kind = self.reason or CRASH
        number = self.left.pop(0)
        outcome = self._outcome(Reply(number, kind, f"{how}\n{printed[-8000:]}", seconds, self.peak))
        return outcome._replace(given=self._restart() / "given")

    def _restart(self) -> Path:
        """Start another process with the rest of the work; returns where the folder of the dead one is kept."""
        kept = self.folder.with_name(f"{self.folder.name}-dead")
        shutil.rmtree(kept, ignore_errors=True)
        self.folder.rename(kept)
        self.connection.close()
        left = self.left
        self.start()
        if left:
            self.give((self.name, left))
        return kept

    def stop(self) -> None:
        """Let it end, or end it where it is at work."""
        if self.left:
            self.process.kill()
        with contextlib.suppress(OSError):
            self.connection.send(None)
        self.process.join(self.patience)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.connection.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.folder.with_name(f"{self.folder.name}-dead"), ignore_errors=True)
        self.log.unlink(missing_ok=True)

    def _outcome(self, reply: Reply) -> Outcome:
        return Outcome(self.name, *reply, self.folder / "given")


def run_campaign(
    targets: Mapping[str, type[Target]],
    next_task: Callable[[], Task | None],
    folder: Path,
    seed: int = 0,
    workers: int = 1,
    patience: float = PATIENCE,
    largest: float = LARGEST,
    preload: Sequence[str] = (),
) -> Iterator[Outcome]:
    """Run cases in children until there is no task left.

    Args:
        targets: by name; classes that can be imported.
        next_task: gives a target's name and the numbers of some of its cases, None where there are no more.
        folder: for all that the children write; removed at the end.
        seed: of all cases.
        workers: children at a time.
        patience: seconds that a case may take.
        largest: MiB that a child may take.
        preload: modules that are imported once for all children.

    Yields:
        The outcome of each case.

    Raises:
        RuntimeError: a target cannot be set up.
    """
    FORKS.set_forkserver_preload([*preload])
    children = [Child(targets, seed, folder / f"child{i}", patience, largest) for i in range(workers)]
    looked = time.monotonic()
    try:
        while True:
            for child in children:
                if not child.left and (task := next_task()):
                    child.give(task)
            busy: dict[object, Child] = {child.connection: child for child in children if child.left}
            if not busy:
                return
            waiting: list[Connection] = [child.connection for child in children if child.left]
            for connection in wait(waiting, TICK):
                child = busy[connection]
                process = child.process
                if outcome := child.take():
                    yield outcome
                    if child.process is process:
                        child.go_on()
            if time.monotonic() - looked >= TICK:
                looked = time.monotonic()
                for child in children:
                    child.watch()
    finally:
        for child in children:
            child.stop()
        shutil.rmtree(folder, ignore_errors=True)
