"""One run at a time in a work folder."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from pathlib import Path
from typing import IO, ClassVar

import ignite.distributed as idist
from ignite.engine import Engine

from bundle.errors import DataError

LOCK_FILE = "run.lock"


class WorkDirLock:
    """Hold a lock on a work folder, from construction until the run ends.

    Two runs in one folder would overwrite each other's state, and one would be resumed from the other's. The
    kernel frees the lock when the process ends, even if it is killed; the file stays and names the last holder. In a
    distributed run the first process takes it. A run that failed before its engine started does not block the next
    run of the same process.

    Args:
        work_dir: the folder, made when absent.

    Raises:
        DataError: another run holds it; the message says which.
    """

    held: ClassVar[dict[Path, IO[str]]] = {}
    running: ClassVar[set[Path]] = set()

    def __init__(self, work_dir: str | os.PathLike[str]) -> None:
        self.folder = Path(work_dir).resolve()
        if idist.get_rank() == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._take()

    def run(self, engine: Engine) -> None:
        """Run an engine, then free the folder."""
        if idist.get_rank() != 0:
            engine.run()
            return
        self.running.add(self.folder)
        try:
            engine.run()
        finally:
            self.running.discard(self.folder)
            self.held.pop(self.folder).close()

    def _take(self) -> None:
        if self.folder in self.held and self.folder not in self.running:
            return
        file = os.fdopen(os.open(self.folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644), "r+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = file.read(200).strip() or "it has not said which"
            file.close()
            raise DataError(
                f"{self.folder}: another run is at work there ({holder}); wait for its end, or choose another work_dir"
            ) from None
        self.held[self.folder] = file
        file.truncate()
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
        file.flush()


# Forked workers inherit the open file and with it the lock; those that outlive a killed run must not hold it.
os.register_at_fork(after_in_child=WorkDirLock.held.clear)
