"""Clicks over HTTP: saved in the store, exported to the points file, and nobody's lost."""

import json
import sqlite3
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from bundle.annotate.click_service import ClickService
from bundle.annotate.request_guard import Gate
from bundle.annotate.server import create_app
from bundle.preferences.store.judgement_store import JudgementStore
from tests.annotate.bodies import saving
from tests.annotate.conftest import load


def put(client, number, *given, **changes):
    return client.put(f"/api/images/{number}/clicks", json=saving(*given, **changes))


def exported(domain):
    return json.loads((domain / "points.json").read_text())


@pytest.fixture
def second(click_service, vote_service, training, domain, store):
    """Another server on the same folder and store, as in a process of its own."""
    with JudgementStore(store.path) as own:
        network = click_service._networks["start"]
        other = ClickService(domain, "training", "points.json", own, load, network, click_service._inferer)
        with TestClient(Gate(create_app(other, vote_service, training)), base_url="http://127.0.0.1:8001") as opened:
            yield opened


def test_clicks_are_saved_and_found_again(client, domain):
    answer = put(client, 2, [[5, 6], [40, 3]], [1, 0])
    assert answer.status_code == 200
    version = answer.json()["version"]
    assert answer.json() == {"saved": 2, "version": version} and version > 0
    found = {"points": [[5, 6], [40, 3]], "labels": [1, 0], "version": version}
    assert client.get("/api/images/2/clicks").json() == found
    assert client.get("/api/images").json()[2]["points"] == 2
    assert put(client, 0, [[1, 1]]).status_code == 200
    assert client.get("/api/images/2/clicks").json() == found
    assert exported(domain)["points"] == {
        "images/training_0.png": {"points": [[1, 1]], "point_labels": [1]},
        "images/training_2.png": {"points": [[5, 6], [40, 3]], "point_labels": [1, 0]},
    }
    assert put(client, 2, [], version=version).json()["saved"] == 0
    assert client.get("/api/images/2/clicks").json()["points"] == []
    assert "training_2" not in (domain / "points.json").read_text()


def test_they_are_records_of_who_did_what(client, store, domain):
    version = put(client, 1, [[5, 6], [7, 8]]).json()["version"]
    put(client, 1, [[7, 8], [9, 9]], [0, 1], version=version, annotator="bob")
    found = [(r.x, r.y, r.label, r.action, r.annotator) for r in store.clicks.history()]
    assert found == [
        (5, 6, 1, "add", "person:ada"),
        (7, 8, 1, "add", "person:ada"),
        (5, 6, 1, "remove", "person:bob"),
        (7, 8, 0, "add", "person:bob"),
        (9, 9, 1, "add", "person:bob"),
    ]
    assert {r.image for r in store.clicks.history()} == {str(domain / "images" / "training_1.png")}


def test_who_saved_meanwhile_is_told_and_nothing_is_written(client, second, store):
    version = put(client, 0, [[1, 1]], annotator="bob").json()["version"]
    late = put(second, 0, [[2, 2]], version=0)
    assert late.status_code == 409
    said = late.json()
    assert "person:bob saved clicks at 20" in said["detail"] and "\n" not in said["detail"]
    now = said["now"]
    assert (now["points"], now["labels"], now["version"]) == ([[1, 1]], [1], version)
    assert now["annotator"] == "person:bob" and now["saved_at"].endswith("+00:00")
    assert len(store.clicks.history()) == 1
    joined = put(second, 0, [[1, 1], [2, 2]], version=version)
    assert joined.status_code == 200
    assert client.get("/api/images/0/clicks").json()["points"] == [[1, 1], [2, 2]]
    assert put(client, 1, [[3, 3]]).status_code == 200, "another image has a version of its own"


def test_a_save_that_is_sent_again_is_answered_as_the_first_time(client, second, store):
    given = saving([[1, 1], [2, 2]])
    first = client.put("/api/images/0/clicks", json=given)
    put(second, 0, [[1, 1], [2, 2], [3, 3]], version=first.json()["version"], annotator="bob")
    again = second.put("/api/images/0/clicks", json=given)
    assert (again.status_code, again.json()) == (200, first.json())
    assert len(store.clicks.history()) == 3
    other = client.put("/api/images/0/clicks", json={**given, "points": [[1, 1], [4, 4]]})
    assert other.status_code == 422 and "belongs to another save" in other.json()["detail"]


def test_eight_people_on_one_image(client, click_service, second, store, domain):
    click_service._inferer.max_points = 80  # of both servers

    def click(person):
        with_me = client if person % 2 else second
        now = {"points": [], "labels": [], "version": 0}
        for number in range(10):
            mine = [person, number]
            while True:
                points, labels = [*now["points"], mine], [*now["labels"], 1]
                answer = put(with_me, 0, points, labels, version=now["version"], annotator=f"p{person}")
                if answer.status_code == 200:
                    now = {"points": points, "labels": labels, "version": answer.json()["version"]}
                    break
                assert answer.status_code == 409, answer.text
                now = answer.json()["now"]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(click, range(8)))
    wanted = sorted([person, number] for person in range(8) for number in range(10))
    assert sorted(client.get("/api/images/0/clicks").json()["points"]) == wanted
    assert sorted(exported(domain)["points"]["images/training_0.png"]["points"]) == wanted
    assert len(store.clicks.history()) == 80


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"version": -1}, "version"),
        ({"version": 1.5}, "version"),
        ({"version": 1 << 60}, "version"),
        ({"version": None}, "version"),
        ({"uid": "x"}, "uid"),
        ({"annotator": "import:x"}, "annotator"),
        ({"annotator": ""}, "annotator"),
        ({"points": [[1, 1], [1, 1]], "labels": [1, 1]}, "two clicks lie on pixel"),
        ({"points": [[1000, 1]]}, "outside"),
        ({"more": 1}, "more"),
    ],
)
def test_malformed_saves_write_nothing(client, store, domain, change, word):
    answer = client.put("/api/images/0/clicks", json={**saving([[1, 1]]), **change})
    assert answer.status_code == 422 and word in answer.json()["detail"]
    assert store.clicks.history() == [] and not (domain / "points.json").exists()


@pytest.mark.parametrize("complete", [False, True])
def test_a_file_stays_as_complete_as_it_says(client, domain, complete):
    file = domain / "points.json"
    file.write_text(json.dumps({"complete": complete, "points": {"images/training_1.png": {"points": [[3, 3]]}}}))
    assert put(client, 0, [[1, 1]]).status_code == 200
    content = exported(domain)
    assert content["complete"] is complete and len(content["points"]) == 2


def test_a_file_that_cannot_be_read_is_not_overwritten(client, store, domain):
    put(client, 0, [[1, 1]])
    (domain / "points.json").write_text('{"complete": fal')
    answer = put(client, 1, [[1, 1]])
    assert answer.status_code == 422 and "points.json: cannot be read as JSON" in answer.json()["detail"]
    assert (domain / "points.json").read_text() == '{"complete": fal' and len(store.clicks.history()) == 1


def test_a_store_that_was_deleted_acknowledges_nothing(client, vote_service, store):
    asked = vote_service.store.questions()[0].id
    vote = {"uid": uuid.uuid4().hex, "annotator": "ada", "question": asked, "chosen": 0, "seconds": 1.0}
    store.path.unlink()
    for answer in (put(client, 0, [[1, 1]]), client.post("/api/judgements", json=vote), client.get("/api/images")):
        assert answer.status_code == 422, answer.text
        assert "was deleted, moved or replaced" in answer.json()["detail"] and "\n" not in answer.json()["detail"]


@pytest.mark.parametrize(
    "change", [{"region_split": "nonsense"}, {"region_index": 999}, {"box": (0, 0, 1, 1)}, {"region_split": "image"}]
)
def test_a_question_from_elsewhere_stops_nobody(client, store, change):
    """An imported record that nobody could be asked about blocked all others for good."""
    whole = replace(store.questions()[0], priority=9.0)
    bad = replace(whole, **change)
    raw = sqlite3.connect(store.path)
    with raw:
        raw.execute("INSERT INTO questions (id, content, priority) VALUES (?, ?, 9)", (bad.id, bad.content))
    raw.close()
    questions = client.get("/api/questions/ada")
    assert questions.status_code == 200, questions.text
    assert len(questions.json()) == 3 and bad.id not in [question["id"] for question in questions.json()]
    progress = client.get("/api/progress/ada").json()
    assert progress["dead"] == (0 if change == {"region_split": "nonsense"} else 1)
    vote = {"uid": uuid.uuid4().hex, "annotator": "ada", "question": bad.id, "chosen": 0, "seconds": 1.0}
    assert client.post("/api/judgements", json=vote).status_code in (404, 422)
    assert client.get("/api/agreement").status_code == client.get("/api/training").status_code == 200
