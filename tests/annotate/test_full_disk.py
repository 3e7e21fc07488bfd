"""A disk that is full, at every endpoint that writes: 507 and what to do, and the same request later."""

import errno
import uuid

import pytest

from bundle.errors import StorageError
from tests.annotate.bodies import saving

FULL = [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS]


def unsaved(response):
    assert response.status_code == 507, response.text
    detail = response.json()["detail"]
    assert "make room" in detail and "send it again" in detail and detail.isprintable()


@pytest.mark.parametrize("number", FULL)
def test_clicks(client, click_service, monkeypatch, number):
    given = saving([[5, 6]])

    def full(*arguments):
        raise OSError(number, "so it is")

    with monkeypatch.context() as patch:
        patch.setattr(click_service, "save", full)
        unsaved(client.put("/api/images/0/clicks", json=given))
    assert client.put("/api/images/0/clicks", json=given).status_code == 200


def test_votes(client, vote_service, monkeypatch):
    question = client.get("/api/questions/ada").json()[0]["id"]
    given = {"uid": uuid.uuid4().hex, "annotator": "ada", "question": question, "chosen": 0, "seconds": 1.0}

    def full(judgement):
        raise StorageError("the store: cannot be written (database or disk is full)")

    with monkeypatch.context() as patch:
        patch.setattr(vote_service.store, "add", full)
        unsaved(client.post("/api/judgements", json=given))
    assert client.post("/api/judgements", json=given).json() == {"new": True}


@pytest.mark.parametrize("number", FULL)
def test_the_log_of_a_training(client, training, monkeypatch, number):
    def full():
        raise OSError(number, "so it is")

    monkeypatch.setattr(training, "counts", lambda: {"chosen": 1, "questions": 1, "answered": 1})
    monkeypatch.setattr(training, "_new_log", full)
    unsaved(client.post("/api/training", json={"method": "lpo"}))
    assert client.get("/api/training").json()["state"] == "idle"


def test_another_fault_of_the_system_is_the_servers(client, click_service, monkeypatch):
    def broken(*arguments):
        raise OSError(errno.EIO, "secret")

    monkeypatch.setattr(click_service, "save", broken)
    response = client.put("/api/images/0/clicks", json=saving([[5, 6]]))
    assert response.status_code == 500 and "secret" not in response.text


def test_more_clicks_than_a_training_takes_are_not_saved(client, domain):
    """The network of the tests takes 6 in a window of 32 pixels."""
    six = [[i, 1] for i in range(6)]
    assert client.put("/api/images/0/clicks", json=saving(six)).status_code == 200
    before = client.get("/api/images/0/clicks").json()
    refused = client.put("/api/images/0/clicks", json=saving([*six, [31, 31]], version=before["version"]))
    assert refused.status_code == 422 and "7 clicks lie in one window of 32 x 32 pixels" in refused.json()["detail"]
    assert client.get("/api/images/0/clicks").json() == before
    apart = [*six, [40, 40]]
    assert client.put("/api/images/0/clicks", json=saving(apart, version=before["version"])).status_code == 200
