"""A training whose server is killed, and servers that find a training they did not start."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bundle.annotate.lifeline import main
from bundle.annotate.training_lock import BusyError, Run, TrainingLock
from bundle.annotate.training_process import Training
from bundle.errors import DataError, StorageError
from tests.integration.commands import ROOT

LOCKED = (
    "import subprocess, time; worker = subprocess.Popen(['sleep', '600'], close_fds=False); "
    "print(worker.pid, flush=True)"
)
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {LOCKED}; time.sleep(600)"
WILLING = f"{LOCKED}; time.sleep(600)"


def until(found, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.05)
    raise AssertionError("it did not come")


def lives(process):
    try:
        return "Z" not in (Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0])
    except OSError:
        return False


@pytest.fixture
def pretend(training, monkeypatch):
    """Trainings that run other code than stage 2."""

    def replace(code):
        monkeypatch.setattr(Training, "command", lambda self, method: [sys.executable, "-c", code])
        monkeypatch.setattr(Training, "counts", lambda self: {"chosen": 1, "questions": 1, "answered": 1})

    return replace


@pytest.fixture
def another(training, vote_service):
    """Another server's view of the folder."""
    shown = []

    def make():
        other = Training(ROOT, [], training.settings, training.points, vote_service.store, shown.append)
        other.shown_weights = shown
        return other

    return make


def state(training):
    return training.status()["state"]


@pytest.mark.parametrize("code", [WILLING, pytest.param(STUBBORN, marks=pytest.mark.slow)], ids=["willing", "stubborn"])
def test_all_processes_end_when_the_server_is_killed(tmp_path, code):
    """The starter is killed: no chance to clean up."""
    outcome = tmp_path / "outcome.json"
    line = ["-m", "bundle.annotate.lifeline", str(outcome), sys.executable, "-c", code]
    starter = (
        "import subprocess, sys, time; p = subprocess.Popen([sys.executable, *sys.argv[1:]], stdin=subprocess.PIPE, "
        "start_new_session=True); print(p.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", starter, *line], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    group, worker = int(parent.stdout.readline()), int(parent.stdout.readline())
    assert lives(group) and lives(worker)
    begun = time.monotonic()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: not lives(group) and not lives(worker))
    assert (time.monotonic() - begun > 9) == (code == STUBBORN)
    found = json.loads(outcome.read_text())
    assert found["orphaned"] and found["code"] == (-signal.SIGKILL if code == STUBBORN else -signal.SIGTERM)


def test_the_outcome_is_that_of_the_command(tmp_path):
    for code, status in (("raise SystemExit(3)", 3), ("pass", 0), ("import os; os.kill(os.getpid(), 9)", 137)):
        line = [sys.executable, "-m", "bundle.annotate.lifeline", str(tmp_path / "o.json"), sys.executable, "-c", code]
        with subprocess.Popen(line, cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True) as process:
            assert process.wait(30) == status
        assert json.loads((tmp_path / "o.json").read_text())["code"] == (-9 if status == 137 else status)
    assert callable(main)


def test_another_server_finds_and_stops_it(training, another, pretend):
    pretend(WILLING)
    training.start("slpo")
    other = another()
    found = other.status()
    assert (found["state"], found["method"], found["log"]) == ("running", "slpo", training.status()["log"])
    assert 0 <= found["seconds"] < 30
    with pytest.raises(BusyError, match="another server started"):
        other.start("lpo")
    other.close()  # ends with its server, and leaves what is not its own
    assert state(training) == "running"
    worker = int(until(lambda: training.log.read_text().strip()))
    other.stop()
    until(lambda: state(training) == state(other) == "stopped")
    assert not lives(worker)


def test_both_servers_see_it_end(training, another, pretend):
    pretend("import time; time.sleep(2)")
    training.trained = lambda path: None
    other = another()
    training.start("lpo")
    assert state(other) == "running"
    until(lambda: state(training) == state(other) == "done")
    assert [str(path) for path in other.shown_weights] == [training.settings["checkpoint"]]
    assert state(another()) == "idle"  # it came to a good end that was seen


def test_a_server_that_is_started_again_says_what_became_of_it(training, another, pretend, tmp_path):
    lock, ended = tmp_path / "training.lock", tmp_path / "training-outcome.json"
    lock.write_text(json.dumps(Run(99999999, "here", time.time() - 60, "lpo", str(tmp_path / "x.log"))._asdict()))
    (tmp_path / "x.log").write_text("first\nerror: the disk of the log\n")
    for outcome, expected, message in (
        (None, "failed", "killed, or the machine went down"),
        ({"code": -15, "orphaned": True}, "failed", "the server that had started it was gone"),
        ({"code": -15, "orphaned": False}, "stopped", ""),
        ({"code": -9, "orphaned": False}, "failed", "ended by SIGKILL"),
        ({"code": 2, "orphaned": False}, "failed", "error: the disk of the log"),
        ({"code": 0, "orphaned": True}, "done", ""),
        ({"code": 0, "orphaned": False}, "idle", ""),
    ):
        if outcome:
            ended.write_text(json.dumps({**outcome, "ended": time.time()}))
        found = another().status()
        assert (found["state"], message in found["message"]) == (expected, True), found
        assert expected == "idle" or 59 < found["seconds"] < 70
    for damaged in ("", "[]", "{", '{"group": 1}', "null"):
        lock.write_text(damaged)
        assert state(another()) == "idle"


def test_it_is_not_ended_from_another_machine(training, another, pretend):
    pretend(WILLING)
    training.start("lpo")
    other = another()
    other.status()
    other._run = other._run._replace(host="elsewhere")
    with pytest.raises(DataError, match="runs on elsewhere; stop it there"):
        other.stop()
    assert state(training) == "running"


def test_the_lock_is_held_by_those_who_are_left(training, another, pretend, tmp_path):
    """Also where the process that watches over them is killed."""
    pretend(WILLING)
    training.start("lpo")
    until(lambda: training.log.read_text().strip())
    os.kill(TrainingLock(tmp_path).run().group, signal.SIGKILL)
    time.sleep(0.5)
    assert state(training) == "running" and state(another()) == "running"
    training.stop()
    assert state(training) == "stopped"


def test_logs_of_one_second(training, pretend, monkeypatch):
    monkeypatch.setattr(time, "strftime", lambda form: "20260101-000000")
    logs = []
    for number in range(3):
        pretend(f"print({number})")
        training.trained = lambda path: None
        training.start("lpo")
        until(lambda: state(training) == "done")
        logs.append(training.log)
    names = ["training-20260101-000000.log", "training-20260101-000000-2.log", "training-20260101-000000-3.log"]
    assert [log.name for log in logs] == names
    assert [log.read_text() for log in logs] == ["0\n", "1\n", "2\n"]


def test_a_full_disk_leaves_no_training(training, pretend, monkeypatch, tmp_path):
    pretend(WILLING)

    def full(self, file, run):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TrainingLock, "name", full)
    with pytest.raises(StorageError, match="No space left"):
        training.start("lpo")
    assert not TrainingLock(tmp_path).is_held() and state(training) == "idle"
