"""A real MLflow server on loopback: it records, and when it dies the training goes on."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pytest

from bundle.handlers.tracking_guard import TrackingGuard
from tests.integration.commands import ADAPT, ROOT, call, command, environment, flags


@contextmanager
def serving(folder):
    """An ``mlflow server`` whose database and artifacts are in a folder; yields its URI and what kills it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    store = ["--backend-store-uri", f"sqlite:///{folder}/mlruns.db", "--artifacts-destination", str(folder / "files")]
    arguments = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    log = (folder / "server.log").open("w")
    server = subprocess.Popen([*arguments, *store], stdout=log, stderr=log, start_new_session=True)

    def kill():
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)  # its workers too
            server.wait()

    try:
        until = time.monotonic() + 120
        while not answers(uri):
            assert server.poll() is None and time.monotonic() < until, (folder / "server.log").read_text()
            time.sleep(0.2)
        yield uri, kill
    finally:
        kill()
        log.close()


def answers(uri):
    try:
        with urllib.request.urlopen(f"{uri}/health", timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.mark.slow
def test_a_training_is_recorded_by_a_server(settings, tmp_path):
    with serving(tmp_path) as (uri, _):
        validation = {"val_interval": 1, "val_split": "test"}
        done = call(command("run", *flags(ADAPT, **settings, **validation, **tracked(uri, tmp_path))))
        assert done.returncode == 0, done.stderr
        client = mlflow.MlflowClient(uri)
        experiment = client.get_experiment_by_name("prefer-das")
        parent, stage = client.search_runs(experiment.experiment_id, order_by=["attributes.run_name DESC"])
        assert stage.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert {stage.info.status, parent.info.status} == {"FINISHED"}
        (output,) = stage.outputs.model_outputs
        assert client.get_logged_model(output.model_id).name == "model"
        assert "test_0_automatic" in "".join(file.path for file in client.list_artifacts(stage.info.run_id, "images"))


@pytest.mark.slow
def test_a_server_that_dies_does_not_end_a_training(settings, tmp_path):
    validation = {"val_interval": 1, "val_split": "test", "max_epochs": 3, "epoch_length": 4}
    line = command("run", *flags(ADAPT, **{**settings, **validation, **tracked("", tmp_path)}))
    with serving(tmp_path) as (uri, kill):
        line[line.index("--tracking_uri") + 1] = uri
        with subprocess.Popen(
            line, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as training:
            seen = []
            for text in training.stdout:
                seen.append(text)
                if "Epoch[1] Complete" in text:
                    kill()
    output = "".join(seen)
    assert training.returncode == 0, output[-3000:]
    assert output.count("the run goes on and is no longer recorded") == 1
    assert "Traceback" not in output
    assert Path(settings["checkpoint"]).is_file()


def tracked(uri, folder):
    return {"tracking": "mlflow", "tracking_uri": uri, "output_dir": str(folder / "out")}


def test_after_the_first_failure_nothing_is_called(caplog):
    guard, calls = TrackingGuard(), []

    def fail(engine_name):
        calls.append(engine_name)
        raise ConnectionError("refused\nand more")

    for _ in range(3):
        guard.call(fail, "trainer")
    assert calls == ["trainer"]
    assert [record.message for record in caplog.records] == [
        "MLflow failed, the run goes on and is no longer recorded: refused"
    ]
