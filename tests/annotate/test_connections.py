"""Connections that are kept open for nothing: whoever has the token is served all the while."""

import contextlib
import resource
import selectors
import socket
import threading
import time
import uuid

import httpx
import pytest
import uvicorn

from bundle.annotate import connections
from bundle.annotate.connections import SETTINGS
from bundle.annotate.request_guard import Gate
from tests.annotate.real_server import TOKEN

WHOLE = b"GET /api/images HTTP/1.1\r\nHost: 127.0.0.1\r\n"
HALVES = {
    "idle": b"",
    "half a head": WHOLE + b"Cookie: a=",
    "a slow body": b"PUT /api/images/0/clicks HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: 100000\r\n\r\n{",
    "a slow body with an origin": b"POST /api/judgements HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: null\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
}


async def answering(scope, receive, send):
    """An app that answers with as many bytes as the path says."""
    if scope["type"] != "http":
        return
    name = scope["path"][1:]
    body = b"x" * (int(name) if name.isdigit() else 2)
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextlib.contextmanager
def serving(app):
    """A small app behind the protocol, in a thread; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, **SETTINGS, log_level="error", log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


def connect(port, data=b"", count=1):
    opened = []
    for _ in range(count):
        one = socket.create_connection(("127.0.0.1", port), timeout=20)
        one.sendall(data)
        opened.append(one)
    return opened


def is_closed(one, seconds):
    """Whether the server closes a connection in time, whatever it says before."""
    one.settimeout(seconds)
    try:
        while one.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionResetError:
        pass
    return True


@pytest.fixture
def hasty(monkeypatch):
    """Deadlines that a test can wait for."""
    for name in ("WAIT_HEAD", "WAIT_BODY", "WAIT_READER"):
        monkeypatch.setattr(connections, name, 0.6)


@pytest.fixture
def port(hasty):
    with serving(Gate(answering, token=TOKEN, hosts=None, largest_body=1 << 20)) as port:
        yield port


@pytest.mark.parametrize("data", HALVES.values(), ids=HALVES)
def test_halves_of_requests_are_not_waited_for(port, data):
    (one,) = connect(port, data)
    assert is_closed(one, 5)


def test_a_byte_now_and_then_buys_no_time(port):
    known = f"Authorization: token {TOKEN}\r\n".encode()
    body = HALVES["a slow body"]
    for data in (HALVES["half a head"], body, body.replace(b"Content-Type", known + b"Content-Type")):
        (one,) = connect(port, data)
        begun = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - begun < 5:
                one.sendall(b"1")
                time.sleep(0.1)
        assert time.monotonic() - begun < 2


def test_an_answer_that_nobody_reads_is_not_kept(port):
    request = f"GET /30000000 HTTP/1.1\r\nHost: x\r\nAuthorization: token {TOKEN}\r\n\r\n".encode()
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.connect(("127.0.0.1", port))
    one.sendall(request)
    time.sleep(1.5)
    got = 0
    one.settimeout(5)
    with contextlib.suppress(ConnectionResetError):
        while chunk := one.recv(65536):
            got += len(chunk)
    assert got < 30_000_000
    with httpx.Client(headers={"authorization": f"token {TOKEN}".encode()}) as client:
        assert len(client.get(f"http://127.0.0.1:{port}/30000000").content) == 30_000_000


def test_who_sends_all_at_once_is_waited_for(port):
    with httpx.Client(headers={"authorization": f"token {TOKEN}".encode()}) as client:
        for wait in (0, 0.3, 0.3):
            time.sleep(wait)
            assert client.get(f"http://127.0.0.1:{port}/10").text == "x" * 10
            sent = client.put(f"http://127.0.0.1:{port}/3", json=["y" * 500_000])
            assert sent.text == "xxx"


def test_a_newcomer_finds_a_place_and_guests_keep_theirs(monkeypatch):
    monkeypatch.setattr(connections, "STRANGERS_OF_ADDRESS", 5)
    monkeypatch.setattr(connections, "GRACE", 0.0)
    monkeypatch.setattr(connections, "GUESTS", 3)
    gate = Gate(answering, token=TOKEN, hosts=None)
    with serving(gate) as port, contextlib.ExitStack() as stack:
        guest = WHOLE + f"Authorization: token {TOKEN}\r\n\r\n".encode()
        (first,) = connect(port, guest)
        assert b"200 OK" in first.recv(65536)
        strangers = connect(port, count=7)
        for one in (first, *strangers):
            stack.enter_context(one)
        assert [is_closed(one, 2 if number < 2 else 0.1) for number, one in enumerate(strangers)] == [True] * 2 + [
            False
        ] * 5
        guests = []
        for _ in range(4):  # more guests than there are places: those who have been there longest go
            guests += connect(port, guest)
            stack.enter_context(guests[-1])
            assert b"200 OK" in guests[-1].recv(65536)
        stack.enter_context(connect(port)[0])
        assert is_closed(first, 2)
        assert not is_closed(guests[-1], 0.1)


def test_the_busiest_address_makes_room(monkeypatch):
    monkeypatch.setattr(connections, "STRANGERS", 5)
    monkeypatch.setattr(connections, "GRACE", 0.0)
    with serving(Gate(answering, token=TOKEN, hosts=None)) as port, contextlib.ExitStack() as stack:
        opened = []
        for address in ("127.0.0.9", *["127.0.0.1"] * 7):
            opened.append(socket.create_connection(("127.0.0.1", port), source_address=(address, 0)))
            stack.enter_context(opened[-1])
        assert [is_closed(one, 2) for one in opened[1:4]] == [True] * 3
        assert not is_closed(opened[0], 0.1) and not is_closed(opened[4], 0.1)


class Flood:
    """Connections that are opened again whenever the server closes them, and fed a byte a second."""

    def __init__(self, port, count, data):
        self.port, self.count, self.data = port, count, data
        self.opened = 0
        self.going = True
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        while self.opened < self.count:
            time.sleep(0.05)
        return self

    def __exit__(self, *error):
        self.going = False
        self.thread.join()

    def run(self):
        with selectors.DefaultSelector() as selector:
            fed = time.monotonic()
            while self.going:
                while len(selector.get_map()) < self.count:
                    with contextlib.suppress(OSError):
                        one = socket.create_connection(("127.0.0.1", self.port), timeout=5)
                        selector.register(one, selectors.EVENT_READ)
                        one.sendall(self.data)
                    self.opened += 1
                for key, _ in selector.select(0.05):
                    self.take(selector, key.fileobj)
                if self.data and time.monotonic() - fed > 1:
                    fed = time.monotonic()
                    for key in list(selector.get_map().values()):
                        with contextlib.suppress(OSError):
                            key.fileobj.sendall(b"1")
            for key in list(selector.get_map().values()):
                key.fileobj.close()

    def take(self, selector, one):
        with contextlib.suppress(OSError):
            if one.recv(65536):
                return
        selector.unregister(one)
        one.close()


@pytest.mark.slow
def test_a_person_works_on_while_strangers_keep_connections_open(server, vote_service):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    slowest = {}
    questions = [question.id for question in vote_service.store.questions()]
    with server.client(timeout=10) as client:
        client.post("/api/images/0/mask", json={"points": [], "labels": []}).raise_for_status()  # encodes the image
        for count in (64, 500):
            for name, data in HALVES.items():
                with Flood(server.port, count, data):
                    waits = []

                    def timed(asked, *request, waits=waits, **body):
                        begun = time.monotonic()
                        asked.request(*request, **body).raise_for_status()
                        waits.append(time.monotonic() - begun)

                    for number in range(12):
                        timed(client, "POST", "/api/images/0/mask", json={"points": [[number, 1]], "labels": [1]})
                        vote = {"uid": uuid.uuid4().hex, "annotator": "ada", "question": questions[0], "chosen": 0}
                        timed(client, "POST", "/api/judgements", json={**vote, "seconds": 1.0})
                        with server.client(timeout=10) as newcomer:  # a connection of its own
                            timed(newcomer, "GET", "/api/images")
                        time.sleep(0.1)
                    slowest[count, name] = max(waits)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert max(slowest.values()) < 2, slowest
    print({f"{count} {name}": round(seconds, 2) for (count, name), seconds in slowest.items()})
