"""The real server in a process of its own, killed while eight people vote."""

import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from bundle.preferences.store import JudgementStore

PEOPLE, EACH, KILLS = 8, 125, 3


@pytest.mark.slow
def test_no_vote_is_lost_or_doubled(server, ballot):
    questions = [question.id for question in ballot.store.questions()]
    acknowledged, lock = [], threading.Lock()

    def vote(person):
        with server.client(timeout=20) as client:
            for number in range(EACH):
                given = {
                    "uid": uuid.uuid4().hex,
                    "annotator": f"person{person}",
                    "question": questions[number % len(questions)],
                    "answer": number % 2,
                    "seconds": 1.0,
                }
                while True:  # as the page does: again, under the same uid
                    try:
                        response = client.post("/api/judgements", json=given)
                    except httpx.HTTPError:
                        time.sleep(0.2)
                        continue
                    if response.status_code == 200:
                        break
                    assert response.status_code == 429, response.text
                    time.sleep(0.2)
                with lock:
                    acknowledged.append(given["uid"])

    with ThreadPoolExecutor(PEOPLE) as pool:
        people = [pool.submit(vote, person) for person in range(PEOPLE)]
        for kill in range(1, KILLS + 1):
            while len(acknowledged) < kill * PEOPLE * EACH // (KILLS + 1):
                time.sleep(0.02)
                assert not any(person.done() and person.exception() for person in people)
            server.kill()
            server.start()
        for person in people:
            person.result()
    with JudgementStore(ballot.store.path) as store:
        stored = Counter(judgement.uid for judgement in store.history())
    assert len(acknowledged) == PEOPLE * EACH == 1000
    assert stored == Counter(acknowledged)
