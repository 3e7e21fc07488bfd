import io
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from monai.data import Dataset
from PIL import Image

from bundle import keys as K
from bundle.preferences.candidates.files import read_candidates
from bundle.preferences.questions.questionnaire import Questionnaire
from bundle.preferences.questions.regions import region_box, split_regions
from bundle.preferences.store.judgement_store import JudgementStore
from tests.conftest import HEIGHT, WIDTH


def a_vote(question, **changes):
    return {"uid": uuid.uuid4().hex, "annotator": "ada", "question": question, "chosen": 0, "seconds": 2.0, **changes}


def picture(response):
    assert response.status_code == 200 and response.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(response.content)))


def test_images_and_their_pictures(client):
    images = client.get("/api/images").json()
    assert [image["name"] for image in images] == ["training_0", "training_1", "training_2"]
    assert all((image["width"], image["height"], image["points"]) == (WIDTH, HEIGHT, 0) for image in images)
    shown = picture(client.get("/api/images/1/picture"))
    assert shown.shape == (HEIGHT, WIDTH) and shown.min() == 0 and shown.max() == 255


def test_a_click_changes_the_mask_near_it(client):
    bare = picture(client.post("/api/images/0/mask", json={"points": [], "labels": []}))
    clicked = picture(client.post("/api/images/0/mask", json={"points": [[WIDTH - 6, 4]], "labels": [1]}))
    assert bare.shape == clicked.shape == (HEIGHT, WIDTH) and set(np.unique(clicked)) <= {0, 255}
    changed = np.argwhere(bare != clicked)
    again = picture(client.post("/api/images/0/mask", json={"points": [], "labels": []}))
    np.testing.assert_array_equal(bare, again)
    assert len(changed) == 0 or changed[:, 1].min() >= WIDTH - 32  # within the windows that hold the click


def test_votes_reach_the_store(client, vote_service, tmp_path):
    first, second, third = client.get("/api/questions/ada").json()
    assert first["image"] in (0, 1, 2) and len(first["outlines"]) >= 2
    x0, y0, x1, y1 = first["box"]
    for outline in first["outlines"]:
        points = np.concatenate([np.array(line) for line in outline["lines"]]) if outline["lines"] else np.zeros((0, 2))
        assert ((points >= (x0 - 3, y0 - 3)) & (points <= (x1 + 2, y1 + 2))).all()
        assert all(line[0] == line[-1] for line in outline["lines"])
    assert client.post("/api/judgements", json=a_vote(first["id"], chosen=1)).json() == {"new": True}
    assert client.post("/api/judgements", json=a_vote(second["id"], chosen="tie", seconds=4.0)).json() == {"new": True}
    assert client.get("/api/questions/ada").json()[0] == third
    assert client.get("/api/questions/bob").json()[0] == first
    progress = client.get("/api/progress/ada").json()
    assert (progress["answered"], progress["seconds"], progress["per_minute"]) == (2, 6.0, 20.0)
    assert progress["left"] == len(vote_service.store.questions()) - 2 and progress["last"] == second["id"]
    assert client.post("/api/judgements", json=a_vote(second["id"], chosen="undo")).json() == {"new": True}
    assert client.post("/api/judgements", json=a_vote(third["id"], chosen="none")).json() == {"new": True}
    assert vote_service.store.judgements(annotator="person:ada")[-1].chosen == "none"
    assert client.post("/api/judgements", json=a_vote(third["id"], chosen="undo")).json() == {"new": True}
    assert client.get("/api/questions/ada").json()[0] == second
    with JudgementStore(tmp_path / "preferences.sqlite") as store:
        (kept,) = store.judgements()
    assert (kept.question.id, kept.chosen, kept.annotator, kept.seconds) == (first["id"], 1, "person:ada", 2.0)


def test_a_vote_sent_twice_is_stored_once(client, vote_service):
    given = a_vote(client.get("/api/questions/ada").json()[0]["id"])
    assert [client.post("/api/judgements", json=given).json()["new"] for _ in range(2)] == [True, False]
    assert len(vote_service.store.history()) == 1
    other = client.post("/api/judgements", json={**given, "chosen": 1})
    assert other.status_code == 422 and "belongs to another judgement" in other.json()["detail"]


def test_agreement_of_annotators(client):
    for question in client.get("/api/questions/ada").json():
        for name in ("ada", "bob"):
            client.post("/api/judgements", json=a_vote(question["id"], annotator=name, chosen=1))
    (pair,) = client.get("/api/agreement").json()
    assert pair == {"annotators": ["person:ada", "person:bob"], "questions": 3, "same": 1.0, "kappa": None}


@pytest.mark.parametrize("header", ["content-security-policy", "x-content-type-options", "referrer-policy"])
def test_headers_of_every_answer(client, header):
    for path in ("/", "/api/images", "/api/nothing"):
        assert header in client.get(path).headers
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy


def test_questions_that_cannot_be_asked_any_more_are_passed_over(client, vote_service, domain, tmp_path):
    every = {question.id: question for question in vote_service.store.questions()}
    images = sorted({question.image for question in every.values()})
    progress = client.get("/api/progress/ada").json()
    assert (progress["left"], progress["dead"], progress["why"]) == (len(every), 0, "")
    image = domain / "images" / "training_0.png"
    original = image.read_bytes()
    Image.open(image).transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(image)
    (tmp_path / "candidates" / "training_1.npz").unlink()
    alive = [question for question in every.values() if question.image == images[2]]
    stale = next(question for question in every.values() if question.image == images[0])
    assert 0 < len(alive) < len(every)
    for question in alive:
        assert client.get("/api/questions/ada").json()[0]["id"] == question.id
        assert client.post("/api/judgements", json=a_vote(question.id)).status_code == 200
    assert client.get("/api/questions/ada").json() == []
    progress = client.get("/api/progress/ada").json()
    assert (progress["answered"], progress["left"]) == (len(alive), 0)
    assert progress["dead"] == len(every) - len(alive) and "training_" in progress["why"]
    refused = client.post("/api/judgements", json=a_vote(stale.id))
    assert refused.status_code == 422 and "cannot be asked any more" in refused.json()["detail"]
    image.write_bytes(original)  # and asked again when the old file is back
    assert client.get("/api/questions/ada").json()[0]["image"] == 0


def test_whole_objects_are_asked_about_with_few_candidates(client, vote_service):
    files = sorted({question.candidates_file for question in vote_service.store.questions()})
    images = Dataset([{K.IMAGE: read_candidates(file).image} for file in files])
    asks = Questionnaire(images, None, vote_service.candidates_dir, "objects:2", shown_count=2)
    urgent = [
        replace(question, priority=1e6 + question.priority) for question in asks.questions(list(map(Path, files)))
    ]
    vote_service.store.open_questions(urgent)
    for question, shown in zip(urgent, client.get("/api/questions/ada").json(), strict=False):
        assert (shown["id"], shown["box"]) == (question.id, list(question.box))
        masks = read_candidates(question.candidates_file).masks
        region = split_regions("objects:2", masks) == question.region_index
        assert region_box(region) == question.box
        assert tuple(outline["candidate"] for outline in shown["outlines"]) == question.shown
        hidden = ({0, 1, 2} - set(question.shown)).pop()
        refused = client.post("/api/judgements", json=a_vote(shown["id"], chosen=hidden))
        assert refused.status_code == 422 and "chosen is" in refused.text
        assert client.post("/api/judgements", json=a_vote(shown["id"], chosen=question.shown[1])).json() == {
            "new": True
        }
