"""Requests that a browser of ours would never send: one clear line each, nothing written, the server alive."""

import json
import uuid

import pytest
from fastapi.testclient import TestClient

from bundle.annotate.gate import Gate

ID = "0" * 64
GOOD = {"uid": "0" * 32, "annotator": "ada", "question": ID, "answer": 0, "seconds": 1.0}
CLICKS = {"points": [[1, 1]], "labels": [1]}

TRAVERSAL = [
    "/../datalist.json",
    "/../../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/..%2f..%2fetc%2fpasswd",
    "/%2e%2e%5c%2e%2e%5cwindows",
    "//etc/passwd",
    "/%00",
    "/link",
    "/api/images/..%2f0/picture",
    "/api/images/%2fetc%2fpasswd/picture",
    "/api/questions/..%2f..%2fetc",
]
UNKNOWN = [
    ("GET", "/api/images/3/picture", None),
    ("GET", "/api/images/-1/picture", None),
    ("GET", "/api/images/1e3/picture", None),
    ("GET", "/api/images/99999999999999999999/clicks", None),
    ("GET", "/api/questions/" + "x" * 33, None),
    ("GET", "/api/progress/person:ada", None),
    ("POST", "/api/judgements", GOOD),
    ("POST", "/api/images/7/mask", CLICKS),
]
METHODS = [
    ("DELETE", "/api/judgements", {}),
    ("PUT", "/api/judgements", GOOD),
    ("POST", "/api/images", {}),
    ("PATCH", "/api/images/0/clicks", CLICKS),
    ("GET", "/api/images/0/mask", None),
    ("PUT", "/api/training", {"method": "lpo"}),
    ("DELETE", "/api/training", {}),
    ("GET", "/api/training/stop", None),
    ("POST", "/api/training/picture", {}),
]
MALFORMED = [
    ("/api/judgements", b"{"),
    ("/api/judgements", b"[]"),
    ("/api/judgements", b"\xff\xfe"),
    ("/api/judgements", b"null"),
    ("/api/judgements", json.dumps({**GOOD, "seconds": float("nan")}).encode()),
    ("/api/judgements", json.dumps({**GOOD, "seconds": -1}).encode()),
    ("/api/judgements", json.dumps({**GOOD, "seconds": 1e9}).encode()),
    ("/api/judgements", json.dumps({**GOOD, "answer": 64}).encode()),
    ("/api/judgements", json.dumps({**GOOD, "answer": True}).encode()),
    ("/api/judgements", json.dumps({**GOOD, "answer": "best"}).encode()),
    ("/api/judgements", json.dumps({**GOOD, "annotator": "../ada"}).encode()),
    ("/api/judgements", json.dumps({**GOOD, "annotator": "ada\n"}).encode()),
    ("/api/judgements", json.dumps({**GOOD, "uid": "1"}).encode()),
    ("/api/judgements", json.dumps({**GOOD, "more": 1}).encode()),
    ("/api/images/0/mask", b'{"points": [[NaN, 1]], "labels": [1]}'),
    ("/api/images/0/mask", b'{"points": [[Infinity, 1]], "labels": [1]}'),
    ("/api/images/0/mask", b'{"points": [[-1, 1]], "labels": [1]}'),
    ("/api/images/0/mask", b'{"points": [[1.5, 1]], "labels": [1]}'),
    ("/api/images/0/mask", b'{"points": [[1, 99999]], "labels": [1]}'),
    ("/api/images/0/mask", b'{"points": [[1, 1, 1]], "labels": [1]}'),
    ("/api/images/0/mask", b'{"points": [[1, 1]], "labels": []}'),
    ("/api/images/0/mask", b'{"points": [[1, 1]], "labels": [2]}'),
    ("/api/images/0/mask", b'{"points": [[1, 1], [1, 1]], "labels": [1, 0]}'),
    ("/api/images/0/mask", json.dumps({"points": [[i, 1] for i in range(7)], "labels": [1] * 7}).encode()),
    ("/api/images/0/mask", json.dumps({"points": [[1, 1]] * 5000, "labels": [1] * 5000}).encode()),
    ("/api/images/0/mask", json.dumps({**CLICKS, "network": "trained"}).encode()),
    ("/api/images/0/mask", json.dumps({**CLICKS, "network": "../../models/model.pt"}).encode()),
    ("/api/training", b""),
    ("/api/training", b"{}"),
    ("/api/training", b'{"method": "upo"}'),
    ("/api/training", b'{"method": "lpo --checkpoint /tmp/x"}'),
    ("/api/training", b'{"method": ["lpo", "slpo"]}'),
    ("/api/training", b'{"method": "lpo", "max_epochs": 1000000}'),
    ("/api/training", b'{"method": "lpo", "config_file": "/etc/passwd"}'),
    ("/api/training/stop", b'{"signal": 9}'),
    ("/api/training", b'{"method": "lpo"}'),  # nobody has voted
]
JSON = {"content-type": "application/json"}


@pytest.fixture
def untouched(client, ballot, domain, training, tmp_path):
    """Asks for everything before and after, and expects no difference and a server that answers."""
    (tmp_path / "outside.txt").write_text("secret")

    def state():
        started = [*tmp_path.glob("*.log"), *tmp_path.glob("*.lock")]
        return (
            len(ballot.store.history()),
            (domain / "points.json").exists(),
            client.get("/api/images").json(),
            training.status()["state"],
            started,
        )

    before = state()
    yield
    assert state() == before and before[3:] == ("idle", [])


def refused(response):
    assert 400 <= response.status_code < 500, response.text
    detail = response.json()["detail"]
    assert detail and "\n" not in detail and "Traceback" not in detail and "secret" not in response.text
    return response.status_code


@pytest.mark.parametrize("path", TRAVERSAL)
def test_traversal(client, untouched, path):
    assert refused(client.get(path)) in (400, 404, 405, 422)


@pytest.mark.parametrize(("method", "path", "body"), UNKNOWN)
def test_unknown_things(client, untouched, method, path, body):
    assert refused(client.request(method, path, json=body)) in (404, 422)


@pytest.mark.parametrize(("method", "path", "body"), METHODS)
def test_wrong_methods(client, untouched, method, path, body):
    assert refused(client.request(method, path, json=body)) in (404, 405)


@pytest.mark.parametrize(("path", "body"), MALFORMED)
def test_malformed_bodies(client, untouched, path, body):
    assert refused(client.post(path, content=body, headers=JSON)) in (400, 422)


def test_too_large(client, untouched):
    assert refused(client.post("/api/judgements", content=b" " * (1 << 19), headers=JSON)) == 413
    chunks = (b" " * 4096 for _ in range(100))
    assert refused(client.post("/api/judgements", content=chunks, headers=JSON)) == 413


def test_a_form_of_another_site(client, untouched):
    assert refused(client.post("/api/judgements", data={"answer": "0"})) == 415
    assert refused(client.post("/api/judgements", content=b"{}", headers={"content-type": "text/plain"})) == 415
    evil = {"origin": "http://evil.example"}
    assert refused(client.post("/api/judgements", json=GOOD, headers=evil)) == 403
    for path, body in (("/api/training", {"method": "lpo"}), ("/api/training/stop", {})):
        assert refused(client.post(path, json=body, headers=evil)) == 403
        assert refused(client.post(path, data=body)) == 415
        assert refused(client.post(path, json=body, headers={"host": "evil.example:8000"})) == 421


def test_a_name_that_points_here(client, untouched):
    assert refused(client.get("/api/images", headers={"host": "evil.example:8000"})) == 421


def test_too_many(app):
    now = [0.0]
    gate = Gate(app, rate=2, burst=3, clock=lambda: now[0])
    with TestClient(gate, base_url="http://127.0.0.1") as client:
        assert [client.get("/api/agreement").status_code for _ in range(4)] == [200, 200, 200, 429]
        now[0] += 1
        assert [client.get("/api/agreement").status_code for _ in range(3)] == [200, 200, 429]


class TestToken:
    token = uuid.uuid4().hex

    @pytest.fixture
    def client(self, app):
        with TestClient(Gate(app, token=self.token), base_url="http://lab.example") as client:
            yield client

    @pytest.mark.parametrize("query", ["", "?token=", "?token=wrong", f"?other={token}", "?token=%ff%fe"])
    def test_wrong(self, client, query):
        answer = client.get(f"/api/images{query}")
        assert refused(answer) == 401 and self.token not in str(answer.headers)
        assert refused(client.get("/api/images", headers={"cookie": "prefer-das-token=wrong"})) == 401
        assert refused(client.get("/api/images", headers={"authorization": "token wrong"})) == 401
        for path in ("/api/training", "/api/training/picture"):
            assert refused(client.get(f"{path}{query}")) == 401
        for path, body in (("/api/training", {"method": "lpo"}), ("/api/training/stop", {})):
            assert refused(client.post(f"{path}{query}", json=body)) == 401

    def test_right(self, client):
        header = {"authorization": f"token {self.token}"}
        assert client.get("/api/images", headers=header).status_code == 200
        assert client.get("/api/images").status_code == 401
        opened = client.get(f"/?token={self.token}")
        assert opened.status_code == 200
        cookie = opened.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        assert client.get("/api/images").status_code == 200  # the cookie is sent from now on


def test_an_error_inside_is_one_line_outside(app, clicker, monkeypatch):
    monkeypatch.setattr(clicker, "images", lambda: 1 / 0)
    with TestClient(Gate(app), base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        response = client.get("/api/images")
    assert response.status_code == 500 and "division" not in response.text and "log" in response.json()["detail"]
