"""Requests that a browser of ours would never send: one clear line each, nothing written, the server alive."""

import json
import uuid
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from bundle.annotate.request_guard import Gate

ID = "0" * 64
GOOD = {"uid": "0" * 32, "annotator": "ada", "question": ID, "chosen": 0, "seconds": 1.0}
CLICKS = {"points": [[1, 1]], "labels": [1]}

TRAVERSAL = [
    "/../datalist.json",
    "/../../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/..%2f..%2fetc%2fpasswd",
    "/%2e%2e%5c%2e%2e%5cwindows",
    "//etc/passwd",
    "/%00",
    "/page.css%00.png",
    "/" + "a" * 9000,
    "/" + "a/" * 4000,
    "/%ed%a0%80",
    "/%ff%fe",
    "/%2e%2e",
    "//evil.example/%2e%2e",
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
    ("GET", "/api/images/" + "9" * 5000 + "/clicks", None),
    ("GET", "/api/images/%00/clicks", None),
    ("GET", "/api/questions/%ed%a0%80", None),
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
    ("OPTIONS", "/api/images", None),
    ("TRACE", "/api/images", None),
    ("CONNECT", "/api/images", None),
    ("PROPFIND", "/", {}),
    ("POST", "/", {}),
    ("HEAD", "/api/images/0/mask", None),
]
MALFORMED = [
    ("/api/judgements", b"{"),
    ("/api/judgements", b"[]"),
    ("/api/judgements", b"\xff\xfe"),
    ("/api/judgements", b"null"),
    ("/api/judgements", json.dumps({**GOOD, "seconds": float("nan")}).encode()),
    ("/api/judgements", json.dumps({**GOOD, "seconds": -1}).encode()),
    ("/api/judgements", json.dumps({**GOOD, "seconds": 1e9}).encode()),
    ("/api/judgements", json.dumps({**GOOD, "chosen": 64}).encode()),
    ("/api/judgements", json.dumps({**GOOD, "chosen": True}).encode()),
    ("/api/judgements", json.dumps({**GOOD, "chosen": "best"}).encode()),
    ("/api/judgements", json.dumps({**GOOD, "annotator": "../ada"}).encode()),
    ("/api/judgements", json.dumps({**GOOD, "annotator": "ada\n"}).encode()),
    ("/api/judgements", json.dumps({**GOOD, "uid": "1"}).encode()),
    ("/api/judgements", json.dumps({**GOOD, "more": 1}).encode()),
    ("/api/judgements", json.dumps({**GOOD, "\ud800": 1}).encode()),
    ("/api/judgements", json.dumps({**GOOD, "two\nlines": 1}).encode()),
    ("/api/judgements", json.dumps({**GOOD, "x" * 100_000: 1}).encode()),
    ("/api/judgements", json.dumps({**GOOD, "annotator": "\ud800"}).encode()),
    ("/api/judgements", json.dumps(GOOD).encode("utf-16")[:-1]),
    ("/api/judgements", json.dumps(GOOD).replace("1.0", "1e999").encode()),
    ("/api/judgements", json.dumps(GOOD).replace("1.0", "9" * 5000).encode()),
    ("/api/judgements", json.dumps(GOOD).replace("1.0", "-0e-99999999").replace("ada", "").encode()),
    ("/api/judgements", json.dumps(GOOD)[:-1].encode() + b', "chosen": 99}'),
    ("/api/judgements", b"[" * 200_000),
    ("/api/judgements", b'{"a":' * 40_000),
    ("/api/judgements", b'"' + b"\\ud800" * 1000 + b'"'),
    ("/api/judgements", b"9" * 200_000),
    ("/api/images/0/mask", b'{"points": ' + b"[" * 100_000 + b"]" * 100_000 + b', "labels": []}'),
    ("/api/images/0/mask", b'{"points": [[%s, 1]], "labels": [1]}' % (b"9" * 5000)),
    ("/api/images/0/mask", b'{"points": [[1e999, 1]], "labels": [1]}'),
    ("/api/images/0/mask", b'{"points": [[true, 1]], "labels": [true]}'),
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
def untouched(client, vote_service, domain, training, tmp_path):
    """Asks for everything before and after, and expects no difference and a server that answers."""
    (tmp_path / "outside.txt").write_text("secret")

    def state():
        started = [*tmp_path.glob("*.log"), *tmp_path.glob("*.lock")]
        return (
            len(vote_service.store.history()),
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
    assert (
        detail
        and len(detail) < 600
        and detail.isprintable()
        and "Traceback" not in detail
        and "secret" not in response.text
    )
    return response.status_code


@pytest.mark.parametrize("path", TRAVERSAL)
def test_traversal(client, untouched, path):
    assert refused(client.get(path)) in (400, 404, 405, 422)


@pytest.mark.parametrize(("method", "path", "body"), UNKNOWN)
def test_unknown_things(client, untouched, method, path, body):
    assert refused(client.request(method, path, json=body)) in (404, 422)


@pytest.mark.parametrize(("method", "path", "body"), METHODS)
def test_wrong_methods(client, untouched, method, path, body):
    answer = client.request(method, path, json=body)
    if method == "HEAD":
        assert answer.status_code in (404, 405)
    else:
        assert refused(answer) in (404, 405, 415)


@pytest.mark.parametrize(("path", "body"), MALFORMED)
def test_malformed_bodies(client, untouched, path, body):
    assert refused(client.post(path, content=body, headers=JSON)) in (400, 422)


def test_too_large(client, untouched):
    assert refused(client.post("/api/judgements", content=b" " * (1 << 19), headers=JSON)) == 413
    chunks = (b" " * 4096 for _ in range(100))
    assert refused(client.post("/api/judgements", content=chunks, headers=JSON)) == 413


def test_a_form_of_another_site(client, untouched):
    assert refused(client.post("/api/judgements", data={"chosen": "0"})) == 415
    assert refused(client.post("/api/judgements", content=b"{}", headers={"content-type": "text/plain"})) == 415
    evil = {"origin": "http://evil.example"}
    own = "127.0.0.1:8000"
    for origin in (
        "http://evil.example",
        "null",
        "http://[::1",
        "http://[",
        f"http://{own}.x",
        f"http://x@{own}",
        own,
        "://",
    ):
        assert refused(client.post("/api/judgements", json=GOOD, headers={"origin": origin})) == 403
    assert refused(client.post("/api/judgements", json=GOOD, headers={"origin": f"http://{own}"})) == 404
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
    token = f'{uuid.uuid4().hex} +&%;="/\\ü§'

    @pytest.fixture
    def client(self, app):
        gate = Gate(app, token=self.token, hosts=None)
        with TestClient(gate, base_url="http://lab.example:8000", follow_redirects=False) as client:
            yield client

    def test_wrong(self, client):
        begun = quote(self.token, safe="")
        for query in ("", "?token=", "?token=wrong", f"?other={begun}", "?token=%ff%fe", f"?token={self.token[:-1]}"):
            for path in ("/", "/api/images", "/api/training", "/api/training/picture"):
                answer = client.get(f"{path}{query}")
                assert refused(answer) == 401 and self.token not in str(answer.headers)
            for path, body in (("/api/training", {"method": "lpo"}), ("/api/training/stop", {})):
                assert refused(client.post(f"{path}{query}", json=body)) == 401

    @pytest.mark.parametrize("name", ["cookie", "authorization", "host", "origin", "content-type", "content-length"])
    def test_odd_headers(self, client, name):
        for value in (b"", b"\xff\xfe", b"\xb2", b"=;=;", b'"', b"token", b"token ", b"http://[::1", b"[", b"x" * 9000):
            for method in ("GET", "PUT"):
                for token in ({}, {"authorization": f"token {self.token}".encode()}):
                    headers = {**token, "content-type": b"application/json", name: value}
                    answer = client.request(method, "/api/images/0/clicks", headers=headers, content=b"[]")
                    assert answer.status_code < 500
                    if not token and name != "authorization":
                        assert refused(answer) in (401, 421)

    def test_the_address_is_left_at_once_and_a_cookie_stays(self, client):
        assert client.get("/").status_code == 401
        opened = client.get(f"/?token={quote(self.token, safe='')}")
        assert (opened.status_code, opened.headers["location"]) == (303, "./")
        cookie = opened.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and self.token not in cookie
        assert client.get("/").status_code == client.get("/api/images").status_code == 200
        for path in ("/api/images", "/index.html"):  # it opens nothing but the page
            client.cookies.clear()
            assert refused(client.get(f"{path}?token={quote(self.token, safe='')}")) == 401

    def test_after_a_link_on_another_site(self, client):
        """There a browser keeps the strict cookie back from a redirection."""
        linked = client.get(f"/?token={quote(self.token, safe='')}", headers={"sec-fetch-site": "cross-site"})
        assert (linked.status_code, linked.headers["refresh"], linked.text) == (200, "0; url=./", "")
        assert client.get("/").status_code == 200

    def test_two_servers_on_one_host(self, app):
        one, other = (Gate(app, token=token, hosts=None) for token in ("token one", "token two"))
        cookies = {}
        for gate, port in ((one, 8000), (other, 9000)):
            with TestClient(gate, base_url=f"http://127.0.0.1:{port}", follow_redirects=False) as client:
                opened = client.get(f"/?token={quote(gate.token)}")
                name, _, value = opened.headers["set-cookie"].partition(";")[0].partition("=")
                cookies[name] = value
        assert len(cookies) == 2
        strange = 'other={"a": [1, 2]}; x=" '  # what other servers on this host leave
        both = "; ".join([strange, *(f"{name}={value}" for name, value in cookies.items())])
        for gate, port in ((one, 8000), (other, 9000)):
            with TestClient(gate, base_url=f"http://127.0.0.1:{port}") as client:
                assert client.get("/api/images", headers={"cookie": both}).status_code == 200
                swapped = both.replace("-8000", "-x").replace("-9000", "-8000").replace("-x", "-9000")
                assert refused(client.get("/api/images", headers={"cookie": swapped})) == 401

    def test_as_a_header(self, client):
        header = {"authorization": f"token {self.token}".encode()}
        assert client.get("/api/images", headers=header).status_code == 200
        assert client.get("/api/images").status_code == 401

    def test_a_name_that_points_here_is_refused_with_the_token_too(self, app):
        header = {"authorization": f"token {self.token}".encode()}
        for host in ("evil.example:8000", "127.0.0.1.evil.example", "[::1].evil.example", "", "[::1", "[", "\xff"):
            with TestClient(Gate(app, token=self.token), base_url="http://127.0.0.1:8000") as client:
                assert refused(client.get("/api/images", headers={**header, "host": host.encode()})) == 421
        for host in ("127.0.0.1", "localhost:9000", "[::1]:8000", "[::1]"):
            with TestClient(Gate(app, token=self.token), base_url="http://127.0.0.1:8000") as client:
                assert client.get("/api/images", headers={**header, "host": host}).status_code == 200

    def test_strangers_use_up_only_their_own_rate(self, app):
        gate = Gate(app, token=self.token, rate=2, burst=3, inside=4, clock=lambda: 0.0)
        header = {"authorization": f"token {self.token}".encode()}
        with TestClient(gate, base_url="http://127.0.0.1") as client:
            assert [client.get("/api/agreement").status_code for _ in range(5)] == [401] * 3 + [429] * 2
            found = [client.get("/api/agreement", headers=header).status_code for _ in range(13)]
            assert found == [200] * 12 + [429]


def test_an_error_inside_is_one_line_outside(app, click_service, monkeypatch):
    monkeypatch.setattr(click_service, "images", lambda: 1 / 0)
    with TestClient(Gate(app), base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        response = client.get("/api/images")
    assert response.status_code == 500 and "division" not in response.text and "log" in response.json()["detail"]
