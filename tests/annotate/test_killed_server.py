"""Two real servers on one folder and one store, each killed again and again while eight people click and vote."""

import json
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from bundle.preferences.store.judgement_store import JudgementStore
from tests.annotate.bodies import saving
from tests.annotate.real_server import Server
from tests.conftest import HEIGHT, TRAINING, WIDTH

PEOPLE, EACH, KILLS = 8, 125, 3


@pytest.fixture
def servers(paths, tmp_path):
    """Two on one folder and one store, whose network takes as many clicks as are made here."""
    (tmp_path / "crowded.json").write_text(json.dumps({"max_points": PEOPLE * EACH}))
    paths["--config"] = tmp_path / "crowded.json"
    running = [Server(*(part for pair in paths.items() for part in pair)) for _ in range(2)]
    yield running
    for server in running:
        server.kill()


class Person:
    """One of eight, at one of the servers: sends what is not acknowledged again, and joins what others saved."""

    def __init__(self, number, server, questions):
        self.number, self.questions = number, questions
        self.client = server.client(timeout=20)
        self.images = [self.send("GET", f"/api/images/{image}/clicks").json() for image in range(TRAINING)]
        self.votes, self.clicks, self.conflicts = [], [], 0

    def send(self, method, path, body=None):
        while True:  # as the page does: again, under the same uid
            try:
                answer = self.client.request(method, path, json=body)
            except httpx.HTTPError:
                time.sleep(0.1)
                continue
            if answer.status_code in (200, 409):
                return answer
            assert answer.status_code == 429, answer.text
            time.sleep(0.1)

    def work(self):
        for number in range(EACH):
            self.vote(number)
            self.click(number)

    def vote(self, number):
        given = {
            "uid": uuid.uuid4().hex,
            "annotator": f"person{self.number}",
            "question": self.questions[number % len(self.questions)],
            "chosen": number % 2,
            "seconds": 1.0,
        }
        assert self.send("POST", "/api/judgements", given).status_code == 200
        self.votes.append(given["uid"])

    def click(self, number):
        """A pixel of one's own on an image of all; every fifth time one of one's earlier clicks is removed too."""
        image, place = number % TRAINING, self.number * EACH + number
        mine, gone = [place % WIDTH, place // WIDTH], None
        if number % 5 == 4:
            gone = next(pixel for of, pixel, there in self.clicks if of == image and there)
        while True:
            now = self.images[image]
            kept = {tuple(pixel): label for pixel, label in zip(now["points"], now["labels"], strict=True)}
            kept.pop(tuple(gone or ()), None)
            points, labels = [*map(list, kept), mine], [*kept.values(), 1]
            given = saving(points, labels, now["version"], annotator=f"person{self.number}")
            answer = self.send("PUT", f"/api/images/{image}/clicks", given)
            if answer.status_code == 200:
                self.images[image] = {"points": points, "labels": labels, "version": answer.json()["version"]}
                break
            self.conflicts += 1
            self.images[image] = answer.json()["now"]
        self.clicks = [(of, pixel, there and pixel != gone) for of, pixel, there in self.clicks]
        self.clicks.append((image, mine, True))


@pytest.mark.slow
def test_no_click_and_no_vote_is_lost_or_doubled(servers, vote_service, domain):
    assert WIDTH * HEIGHT > PEOPLE * EACH
    questions = [question.id for question in vote_service.store.questions()]
    people = [Person(number, servers[number % 2], questions) for number in range(PEOPLE)]
    ended = threading.Event()

    def disturb(server):
        for kill in range(1, KILLS + 1):
            while sum(len(person.clicks) for person in people) < kill * PEOPLE * EACH // (KILLS + 1):
                if ended.wait(0.02):
                    return kill - 1
            server.kill()
            server.start()
        return KILLS

    with ThreadPoolExecutor(PEOPLE + 2) as pool:
        disturbers = [pool.submit(disturb, server) for server in servers]
        working = [pool.submit(person.work) for person in people]
        try:
            for work in working:
                work.result()
        finally:
            ended.set()
        assert [disturber.result() for disturber in disturbers] == [KILLS, KILLS]
    with JudgementStore(vote_service.store.path) as store:
        votes = Counter(judgement.uid for judgement in store.history())
        records = Counter((r.image, r.x, r.y, r.action) for r in store.clicks.history())
        number = store.clicks.last()
        state = {image: sorted(map(list, pixels)) for image, pixels in store.clicks.of_all(number).items()}
    acknowledged = [uid for person in people for uid in person.votes]
    assert len(acknowledged) == PEOPLE * EACH == 1000
    assert votes == Counter(acknowledged)

    every = [click for person in people for click in person.clicks]
    names = [f"images/training_{image}.png" for image in range(TRAINING)]
    assert len(every) == 1000
    assert set(records.values()) == {1}, "each once"
    assert {key[:3] for key in records if key[3] == "add"} == {(str(domain / names[i]), x, y) for i, (x, y), _ in every}
    wanted = {name: sorted(pixel for i, pixel, there in every if there and i == k) for k, name in enumerate(names)}
    assert state == {str(domain / name): pixels for name, pixels in wanted.items()}
    exported = json.loads((domain / "points.json").read_text())["points"]
    assert {name: sorted(entry["points"]) for name, entry in exported.items()} == wanted
    assert sum(person.conflicts for person in people) > 50, "they were in each other's way"
