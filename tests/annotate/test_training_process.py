"""Training from the page: the real command, on the judgements of a small store."""

import io
import json
import os
import time

import numpy as np
import pytest
import torch
from PIL import Image

from bundle.annotate.training_process import Training
from bundle.preferences.store.judgement_store import Judgement
from tests.annotate.bodies import saving
from tests.integration.commands import ROOT


def vote(vote_service, chosen):
    """Vote on as many questions as there are choices."""
    questions = vote_service.store.questions()
    vote_service.store.add_many(
        Judgement(question, choice, "person:ada", 1.0) for question, choice in zip(questions, chosen, strict=False)
    )
    return len(questions)


def wait(client, done, seconds=300):
    """Statuses, one after the other, until one is as wanted."""
    seen = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        seen.append(client.get("/api/training").json())
        if done(seen[-1]):
            return seen
        time.sleep(0.1)
    raise AssertionError(seen[-1])


def ended(status):
    return status["state"] != "running"


def test_the_command_says_all_there_is(client, training, domain, tmp_path, vote_service):
    status = client.get("/api/training").json()
    assert (status["state"], status["picture"], status["progress"]) == ("idle", False, None)
    assert set(status["commands"]) == {"lpo", "slpo"}
    for method, shown in status["commands"].items():
        assert f"--method {method}" in shown and "configs/annotate.json" in shown and str(ROOT) + "/" not in shown
        assert f"--init_checkpoint {tmp_path / 'start.pt'}" in shown and "--points" not in shown
    assert client.put("/api/images/0/clicks", json=saving([[1, 1]])).status_code == 200
    assert f"--points {domain / 'points.json'}" in client.get("/api/training").json()["commands"]["lpo"]


def test_the_method_follows_the_share_that_was_answered(client, vote_service):
    count = vote(vote_service, [1, "tie"])
    status = client.get("/api/training").json()
    assert (status["answered"], status["chosen"], status["questions"]) == (2, 1, count)
    assert count > 4 and status["advised"] == "slpo"
    vote(vote_service, [1] * count)
    assert client.get("/api/training").json()["advised"] == "lpo"


@pytest.mark.slow
def test_a_training_and_what_it_changes(client, vote_service, tmp_path):
    vote(vote_service, [1] * 100)
    started = client.post("/api/training", json={"method": "slpo"})
    assert started.status_code == 200 and started.json()["state"] == "running"
    again = client.post("/api/training", json={"method": "lpo"})
    assert again.status_code == 409 and "runs already" in again.json()["detail"]
    assert client.get("/api/training/picture").status_code == 404
    last = wait(client, ended)[-1]
    assert last["state"] == "done", last
    assert last["method"] == "slpo" and last["seconds"] > 0 and last["picture"]
    progress = last["progress"]
    assert (progress["epoch"], progress["epochs"], progress["iteration"], progress["iterations"]) == (3, 3, 2, 2)
    assert len(progress["history"]) == 3
    assert all(0 <= epoch["accuracy"] <= 1 and np.isfinite(epoch["loss"]) for epoch in progress["history"])
    picture = client.get("/api/training/picture")
    assert Image.open(io.BytesIO(picture.content)).width == 1600
    masks = [
        client.post("/api/images/0/mask", json={"points": [[5, 5]], "labels": [1], "network": which})
        for which in ("start", "trained")
    ]
    assert [mask.status_code for mask in masks] == [200, 200]
    start, trained = (torch.load(tmp_path / name) for name in ("start.pt", "model.pt"))
    assert any(not torch.equal(start[name], trained[name]) for name in start)
    (log,) = tmp_path.glob("training-*.log")
    assert "slpo" not in last["message"] and last["log"] == str(log) and log.stat().st_size > 0


@pytest.mark.slow
def test_a_failure_is_one_line(client, vote_service, training, tmp_path):
    vote(vote_service, [1] * 5)
    torch.save({"x": torch.zeros(1)}, tmp_path / "start.pt")
    assert client.post("/api/training", json={"method": "lpo"}).status_code == 200
    last = wait(client, ended)[-1]
    assert last["state"] == "failed" and not last["picture"]
    assert last["message"].startswith("error: ") and "start.pt: holds the weights of another network" in last["message"]
    assert not (tmp_path / "model.pt").exists()
    refused = client.post("/api/images/0/mask", json={"points": [], "labels": [], "network": "trained"})
    assert refused.status_code == 422 and "no network has been trained" in refused.json()["detail"]


@pytest.mark.slow
def test_it_ends_when_it_is_stopped_and_with_the_server(app, client, vote_service, training, tmp_path):
    overlay = json.loads((tmp_path / "tiny.json").read_text())
    (tmp_path / "tiny.json").write_text(json.dumps({**overlay, "prefer_epochs": 100_000}))
    vote(vote_service, [1] * 5)
    for end in ("stop", "server"):
        assert client.post("/api/training", json={"method": "lpo"}).status_code == 200
        group = training._process.pid
        wait(client, lambda status: status["progress"] and status["progress"]["iteration"] > 0)
        other = Training(ROOT, [], training.settings, training.points, vote_service.store, print)
        with pytest.raises(Exception, match="another server started"):
            other.start("lpo")
        if end == "stop":
            assert client.post("/api/training/stop", json={}).json()["state"] == "stopped"
        else:
            client.__exit__(None, None, None)  # the server's end
            client.__enter__()
        assert training.status()["state"] == "stopped"
        with pytest.raises(ProcessLookupError):
            os.killpg(group, 0)
    assert len(list(tmp_path.glob("training-*.log"))) == 2
