"""Run a command that ends when its starter ends, and record how it ended.

python -m bundle.annotate.lifeline OUTCOME.json COMMAND...

Its standard input is a pipe whose other end the starter holds and never writes to. When the starter ends, even by
SIGKILL, the system closes that end; then the whole process group is ended, with the command's workers. This module
imports only quick modules, so that it watches from the first moment.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from bundle.errors import StorageError
from bundle.json_files import write_json

NICE = 3
"""Clicks and votes come first."""
PATIENCE = 10.0
"""Seconds that a command gets to end after SIGTERM."""


def main(arguments: list[str]) -> int:
    """Run the command as one process group with this process.

    Args:
        arguments: where to write ``code`` (exit status, negative for a signal), ``orphaned`` (the starter was gone
            first) and ``ended`` (seconds since 1970); then the command.

    Returns:
        The exit status, 128 and the signal's number for a signal.
    """
    outcome, *command = arguments
    # a handler, not SIG_IGN, which the command would inherit: a signal to the group is for the command
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    os.nice(NICE)
    orphaned = threading.Event()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, close_fds=False)
    threading.Thread(target=end_with_starter, args=(process, orphaned), daemon=True).start()
    code = process.wait()
    write(Path(outcome), {"code": code, "orphaned": orphaned.is_set(), "ended": time.time()})
    if orphaned.is_set():
        os.killpg(0, signal.SIGKILL)  # workers that outlived it, and this process
    return code if code >= 0 else 128 - code


def end_with_starter(process: subprocess.Popen[bytes], orphaned: threading.Event) -> None:
    """Wait for the starter's end, then end the process group."""
    while os.read(0, 1):
        pass
    orphaned.set()
    os.killpg(0, signal.SIGTERM)
    time.sleep(PATIENCE)
    process.kill()


def write(path: Path, outcome: dict[str, object]) -> None:
    """Write the outcome whole or not at all; a full disk loses it, and is no reason to fail."""
    try:
        write_json(path, outcome)
    except StorageError as error:
        print(error, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
