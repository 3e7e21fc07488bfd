"""The real server in a process of its own, killed while eight people vote."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import torch
from monai.bundle import ConfigParser

from bundle.preferences.store import JudgementStore
from tests.integration.commands import ROOT

PEOPLE, EACH, KILLS = 8, 125, 3


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """``scripts/annotate.py`` on the loopback."""

    def __init__(self, *arguments):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.command = [sys.executable, "scripts/annotate.py", *map(str, arguments), "--port", str(self.port)]
        self.start()

    def start(self):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(self.command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        for _ in range(600):
            try:
                return httpx.get(f"{self.url}/api/images", timeout=5).raise_for_status()
            except httpx.HTTPError:
                assert self.process.poll() is None, "the server ended"
                time.sleep(0.2)
        raise AssertionError("the server did not start")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def server(domain, ballot, tmp_path):
    config = ConfigParser()
    config.read_config(ROOT / "configs" / "inference.json")
    torch.save(config.get_parsed_content("network_def").state_dict(), tmp_path / "network.pt")
    paths = {
        "--data": domain,
        "--checkpoint": tmp_path / "network.pt",
        "--store": ballot.store.path,
        "--candidates": tmp_path / "candidates",
    }
    running = Server(*(part for pair in paths.items() for part in pair))
    yield running
    running.kill()


@pytest.mark.slow
def test_no_vote_is_lost_or_doubled(server, ballot):
    questions = [question.id for question in ballot.store.questions()]
    acknowledged, lock = [], threading.Lock()

    def vote(person):
        with httpx.Client(base_url=server.url, timeout=20) as client:
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
