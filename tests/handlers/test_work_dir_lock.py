import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ignite.engine import Engine

from bundle.errors import DataError
from bundle.handlers import WorkDirLock

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import os, sys, time
from bundle.handlers import WorkDirLock
lock = WorkDirLock(sys.argv[1])
if os.fork() == 0:
    time.sleep(60)  # as a worker of a data loader that has not yet noticed
    os._exit(0)
print("held", flush=True)
time.sleep(60)
"""


class Once(Engine):
    """Knows its data, as MONAI's engines do."""

    def run(self):
        return super().run([0])


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of ``tmp_path``, and has a child."""
    line = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        os.killpg(process.pid, signal.SIGKILL)


def test_second_run_is_told_who_holds_the_folder_until_that_dies(holder, tmp_path):
    with pytest.raises(DataError) as error:
        WorkDirLock(tmp_path)
    text = rf"{tmp_path}: another run is at work there \(process {holder.pid} on \S+ since [\d-]+ [\d:]+\); wait for"
    assert re.match(text, str(error.value)) and "\n" not in str(error.value)
    holder.kill()
    holder.wait()
    lock = WorkDirLock(tmp_path)  # though the child lives
    lock.held.pop(lock.folder).close()


def test_a_run_frees_the_folder_and_one_that_never_started_does_not_block_the_next(tmp_path):
    first = WorkDirLock(tmp_path)
    second = WorkDirLock(tmp_path)  # the first failed before its engine started
    engine = Once(lambda *_: WorkDirLock(tmp_path))
    with pytest.raises(DataError, match="another run is at work there"):  # while the engine runs
        second.run(engine)
    assert first.folder not in WorkDirLock.held
    WorkDirLock(tmp_path).held.pop(tmp_path.resolve()).close()


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path):
    (tmp_path / "other").write_text("kept")
    (tmp_path / "run.lock").symlink_to(tmp_path / "other")
    with pytest.raises(OSError):
        WorkDirLock(tmp_path)
    assert (tmp_path / "other").read_text() == "kept"
