"""What a server that is not the annotation page's asks of the gate: names, pages, paths and bodies of its own."""

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from bundle.annotate.request_guard import Bodies, Gate

TOKEN = "secret"
HEADERS = {"authorization": f"token {TOKEN}"}
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def app():
    app = FastAPI()

    @app.api_route("/{path:path}", methods=["GET", "POST", "DELETE", "OPTIONS"])
    async def echo(request: Request, path: str):
        return {"path": path, "bytes": len(await request.body())}

    return app


def asked(app, **options):
    return TestClient(Gate(app, token=TOKEN, **options), base_url="http://127.0.0.1:8000", headers=HEADERS)


def test_names_are_checked_beside_a_token(app):
    elsewhere = {"host": "evil.example:8000"}
    assert asked(app, hosts=None).get("/", headers=elsewhere).status_code == 200
    assert asked(app).get("/", headers=elsewhere).status_code == 421
    client = asked(app, hosts=("127.0.0.1", "lab.example"))
    answer = client.get("/", headers=elsewhere)
    assert answer.status_code == 421 and "lab.example" in answer.json()["detail"]
    for host in ("127.0.0.1:8000", "lab.example", "lab.example:80"):
        assert client.get("/", headers={"host": host}).status_code == 200


def test_pages_of_other_sites_that_are_named(app):
    friend, other = {"origin": "https://viewer.example"}, {"origin": "https://viewer.example.evil"}
    assert asked(app).post("/", json={}, headers=friend).status_code == 403
    client = asked(app, origins=["https://viewer.example"])
    assert client.post("/", json={}, headers=friend).status_code == 200
    assert client.post("/", json={}, headers=other).status_code == 403
    assert client.post("/", json={}, headers={**friend, "authorization": ""}).status_code == 401


def test_paths_that_need_no_token(app):
    client = asked(app, public=("/login",))
    nobody = {"authorization": ""}
    assert client.get("/login", headers=nobody).status_code == 200
    for path in ("/", "/login/", "/login/x", "/LOGIN", "/x?/login", "//login"):
        assert client.get(path, headers=nobody).status_code == 401


def test_bodies_by_path(app):
    bodies = {"/form/small": Bodies((FORM,), 3), "/form": Bodies((FORM, ""), 10)}
    client = asked(app, bodies=bodies, largest_body=20)

    def status(path, size, kind):
        return client.post(path, content=b"x" * size, headers={"content-type": kind} if kind else {}).status_code

    assert [status("/form/small", size, FORM) for size in (3, 4)] == [200, 413]
    assert [status("/form", size, f"{FORM}; charset=utf-8") for size in (10, 11)] == [200, 413]
    assert [status("/other", size, "application/json") for size in (20, 21)] == [200, 413]
    assert [status("/form", 1, kind) for kind in ("", "text/plain", "application/json")] == [200, 415, 415]
    assert [status("/other", 1, kind) for kind in ("", "text/plain", FORM)] == [415, 415, 415]
    assert client.delete("/form").status_code == 200 and client.delete("/other").status_code == 415
