"""The page on a domain whose folder and images have odd names."""

import json

import pytest

from tests.annotate.bodies import saving
from tests.annotate.test_server import a_vote
from tests.annotate.test_training_process import ended, vote, wait
from tests.odd_paths import FOLDER, IMAGE, write_odd_domain


@pytest.fixture
def tmp_path(tmp_path):
    folder = tmp_path / FOLDER
    folder.mkdir()
    return folder


@pytest.fixture
def domain(tmp_path):
    return write_odd_domain(tmp_path / "domain", 0, 90)


@pytest.mark.slow
def test_images_clicks_and_questions(server, domain):
    with server.client() as client:
        assert client.get("/api/images").json()[0]["name"] == f"training {IMAGE}"
        assert client.get("/api/images/0/picture").status_code == 200
        assert client.put("/api/images/0/clicks", json=saving([[5, 6]])).status_code == 200
        points = json.loads((domain / "points.json").read_text())["points"]
        assert list(points) == [f"images/training {IMAGE}.png"]
        images = set()
        while questions := client.get("/api/questions/ada").json():
            images.add(questions[0]["image"])
            assert client.post("/api/judgements", json=a_vote(questions[0]["id"])).status_code == 200
    assert images == {0, 1, 2}


@pytest.mark.slow
def test_a_training(client, vote_service, tmp_path):
    assert client.put("/api/images/0/clicks", json=saving([[5, 6]])).status_code == 200
    vote(vote_service, [1] * 100)
    assert client.post("/api/training", json={"method": "slpo"}).status_code == 200
    last = wait(client, ended)[-1]
    assert last["state"] == "done" and last["picture"], last
    assert last["checkpoint"] == str(tmp_path / "model.pt") and (tmp_path / "model.pt").is_file()
    assert client.get("/api/training/picture").status_code == 200
    assert {path.name for path in tmp_path.parent.iterdir()} == {FOLDER}
