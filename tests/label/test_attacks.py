"""Requests of an attacker to the real server: refused in one line, nothing written outside of the studies."""

import json
from pathlib import Path
from urllib.parse import quote

import itk
import numpy as np
import pytest

pytest.importorskip("monailabel", reason="MONAI Label has an environment of its own: make label-test")

import requests
from PIL import Image

from tests.label.served import HEIGHT, WIDTH, serving, write_studies

SECRET = "a-file-that-is-not-in-the-studies"
IMAGES = {"png_0", "tif_1", "tiff_2", "nrrd_3", "png_4"}
EVIL_STORE = {
    "name": "x",
    "description": "x",
    "images_dir": "..",
    "labels_dir": "../labels",
    "objects": {
        "../outside": {"image": {"ext": ".png"}},
        "png_0": {"image": {"ext": ".png"}, "labels": {"../../x": {"ext": ".png"}, "final": {"ext": "/../../../x"}}},
    },
}


@pytest.fixture(scope="module")
def server(bundle_files, tmp_path_factory):
    """A server whose studies were prepared by somebody else, with links and a listing that lead out of them."""
    folder = tmp_path_factory.mktemp("attacked")
    studies = write_studies(folder / "studies")
    outside = folder / "outside.png"
    Image.fromarray(np.full((HEIGHT, WIDTH), 7, np.uint8)).save(outside, comment=SECRET)
    (folder / f"{SECRET}.txt").write_text(SECRET)
    (studies / "link.png").symlink_to(outside)
    (studies / "labels" / "final").mkdir(parents=True)
    (studies / "labels" / "final" / "tif_1.png").symlink_to(outside)
    (studies / "datastore_v2.json").write_text(json.dumps(EVIL_STORE))
    checkpoint, overlay = bundle_files
    options = ("--config", str(overlay), "--checkpoint", str(checkpoint))
    with serving(studies, folder / "server.log", *options) as server:
        yield server


@pytest.fixture(autouse=True)
def unharmed(server):
    """After each attack: the same files outside, no proof of foreign code, a server that segments."""
    before = listing(server)
    yield
    assert listing(server) == before
    assert server.mask("automatic", "png_0").shape == (HEIGHT, WIDTH)


@pytest.fixture
def proof(server):
    return server.studies.parent / "proof"


def listing(server) -> dict:
    """Every file around the studies with its size and time, and those in the studies that are no results."""
    root = server.studies.parent
    found = {path: path.lstat() for path in sorted(root.rglob("*")) if path.is_file() or path.is_symlink()}
    own = (root / "server.log", *(server.studies / name for name in ("datastore_v2.json", ".lock", "points.json")))
    results = (server.studies / "prefer_das", server.studies / "labels")
    return {
        str(path): (stat.st_size, stat.st_mtime_ns)
        for path, stat in found.items()
        if path not in own and not any(path.is_relative_to(folder) for folder in results) and "answer" not in path.name
    }


def refused(response: requests.Response) -> str:
    """The one line of a refusal."""
    assert 400 <= response.status_code < 500, f"{response.status_code} {response.text[:300]}"
    if response.request.method == "HEAD":
        return ""
    detail = response.json()["detail"]
    assert isinstance(detail, str) and detail and "\n" not in detail and len(detail) < 600
    return detail


def form(**params) -> dict:
    return {"params": (None, json.dumps(params))}


def injection(proof: Path) -> str:
    return f"cpu') if __import__('pathlib').Path({str(proof)!r}).touch() is None else torch.device('cpu"


# ---- expressions and commands


@pytest.mark.parametrize(
    "path",
    ["/train/adapt", "/train/adapt?run_sync=true", "/train/adapt?enqueue=true", "/train/", "/train/?run_sync=true"],
)
def test_a_device_of_a_training_is_never_run(server, proof, path):
    server.mask("interactive", "png_4", foreground=[[70, 12]])  # something to train on
    for device in (injection(proof), [injection(proof)], f"$__import__('os').mknod({str(proof)!r})"):
        answer = server.post(path, json={"device": device, "max_epochs": 1, "adapt": {"device": device}})
        if answer.status_code == 200:
            server.wait_for("train")
        assert not proof.exists(), "the text of a request was run"
        refused(answer)


def test_a_device_of_a_mask_is_never_run(server, proof):
    asked = [
        lambda device: server.infer("automatic", "png_0", device=device),
        lambda device: server.post("/infer/wsi/automatic?image=png_0&output=asap", json={"params": {"device": device}}),
        lambda device: server.post("/batch/infer/automatic?run_sync=true", json={"device": device, "multi_gpu": False}),
    ]
    for ask in asked:
        for device in (injection(proof), [injection(proof)], f"$__import__('os').mknod({str(proof)!r})"):
            refused(ask(device))
    assert not proof.exists()


def test_a_training_takes_nothing_else_from_a_request(server, proof, tmp_path):
    """MONAI Label puts ``bundle_path`` on the path of the process that trains, and ``gpus`` into its environment."""
    (tmp_path / "sitecustomize.py").write_text(f"import pathlib; pathlib.Path({str(proof)!r}).touch()\n")
    server.mask("interactive", "png_4", foreground=[[70, 12]])
    more = {"bundle_path": str(tmp_path), "gpus": "9", "checkpoint": str(proof), "bundle_root": "/", "local_rank": 3}
    answer = server.post("/train/adapt", json={"device": "cpu", "max_epochs": 1, **more})
    assert answer.status_code == 200, answer.text
    task = server.wait_for("train")
    assert not proof.exists(), "code of the folder that a request named was run"
    assert task["status"] == "DONE", "\n".join(task["details"])
    assert set(task["request"]) <= {"model", "device", "max_epochs", "pretrained", "gpus"}


# ---- paths

NAMES = [
    "../../x",
    "../outside",
    "..",
    ".",
    "/etc/passwd",
    "..\\..\\x",
    "png_0/../../x",
    "studies/../png_0",
    "%2e%2e%2fx",
    "..%00",
    "png_0\0",
    "png_0\n",
    "$(touch x)",
    "$__import__('os')",
    "@bundle_root",
    "x" * 300,
    "link",
    "png_0.png",
    "",
    " ",
    "datastore_v2",
]
PATHS = [
    "PUT /datastore/image?image={}",
    "PUT /datastore/?image={}",
    "PUT /datastore/label?image={}",
    "PUT /datastore/label?image=png_0&tag={}",
    "PUT /datastore/image/info?image={}",
    "PUT /datastore/label/info?label={}&tag=final",
    "PUT /datastore/label/info?label=png_0&tag={}",
    "PUT /datastore/updatelabelinfo?label={}&tag={}",
    "GET /datastore/image?image={}",
    "HEAD /datastore/image?image={}",
    "GET /datastore/image/info?image={}",
    "GET /datastore/label?label={}&tag=final",
    "GET /datastore/label?label=png_0&tag={}",
    "HEAD /datastore/label?image={}&tag={}",
    "GET /datastore/label/info?label={}&tag={}",
    "DELETE /datastore/image?id={}",
    "DELETE /datastore/?id={}",
    "DELETE /datastore/label?id={}&tag=final",
    "DELETE /datastore/label?id=png_0&tag={}",
    "POST /infer/automatic?image={}",
    "POST /infer/{}?image=png_0",
    "POST /infer/automatic?image=&session_id={}",
    "POST /infer/automatic?image=png_0&output={}",
    "POST /infer/wsi/automatic?image={}",
    "POST /infer/wsi/{}?image=png_0",
    "POST /infer/wsi/automatic?image=png_0&output={}",
    "POST /infer/wsi_v2/automatic?image={}",
    "POST /batch/infer/{}",
    "POST /activelearning/{}",
    "POST /scoring/{}",
    "POST /train/{}",
    "GET /model/{}",
    "GET /model/info/{}",
    "PUT /model/{}",
    "DELETE /model/{}",
    "GET /session/{}",
    "PUT /session/?uncompress=true&x={}",
    "DELETE /session/{}",
    "GET /static/{}",
    "GET /ohif/{}",
    "GET /proxy/dicom/{}",
    "POST /proxy/dicom/wado/{}",
]
BODY = {"/infer/wsi/": "json", "/train": "json", "/activelearning": "json", "/scoring": "json", "/batch": "json"}


@pytest.mark.parametrize("line", PATHS)
def test_a_name_that_is_a_path(server, line):
    """Every parameter of MONAI Label that becomes part of a path."""
    method, address = line.split(" ")
    label = server.studies / "png_0.png"
    for name in [*NAMES, str(server.studies.parent / "outside"), str(server.studies / "png_0.png")]:
        if not name and ("tag={}" in address or "session_id" in address):
            continue  # the same as not given
        path = address.replace("{}", quote(name, safe=""))
        if any(path.startswith(start) for start in BODY):
            answer = server.ask(method, path, json={})
        elif method in ("PUT", "POST"):
            files = {kind: (label.name, label.read_bytes()) for kind in ("file", "label", "files")}
            files = {} if address.startswith("/infer") else files
            answer = server.ask(method, path, files={**files, **form()})
        else:
            answer = server.ask(method, path)
        assert SECRET not in answer.text
        refused(answer)


@pytest.mark.parametrize(
    "line",
    [
        "GET /",
        "GET /docs",
        "GET /openapi.json",
        "GET /favicon.ico",
        "GET /logs/",
        "GET /logs/?lines=0",
        "GET /logs/gpu",
        "POST /reload",
        "GET /datastore/dataset",
        "GET /batch/infer",
        "DELETE /batch/infer",
        "POST /train/",
        "POST /scoring/",
        "DELETE /scoring/",
        "PATCH /info/",
        "TRACE /info/",
        "GET /%2e%2e/%2e%2e/etc/passwd",
        "GET /static/%2e%2e/app.py",
    ],
)
def test_what_no_viewer_needs_is_not_there(server, line):
    method, path = line.split(" ")
    answer = server.ask(method, path, **({"json": {}} if method != "GET" else {}))
    assert answer.status_code in (404, 405), answer.text
    refused(answer)


def test_only_images_of_the_studies_are_listed(server):
    assert set(server.get("/datastore/?output=all").json()["objects"]) == IMAGES
    assert server.get("/datastore/").json()["total"] == len(IMAGES)
    assert server.get("/datastore/").json()["completed"] == 0
    assert server.get("/datastore/?output=train").json() == []


def test_an_answer_does_not_tell_which_files_exist(server):
    outside = server.studies.parent
    for existing, missing in (
        ("outside.png", "inside0.png"),
        (f"{SECRET}.txt", f"{SECRET}.doc"),
        ("studies", "studied"),
    ):
        for ask in (
            lambda path: server.infer("automatic", quote(path)),
            lambda path: server.infer("automatic", "png_0", image=path),
            lambda path: server.post(f"/infer/wsi/automatic?image={quote(path, safe='')}", json={}),
            lambda path: server.get(f"/datastore/image?image={quote(path, safe='')}"),
        ):
            first, second = ask(str(outside / existing)), ask(str(outside / missing))
            assert first.status_code == second.status_code
            assert first.headers.get("content-type") == second.headers.get("content-type")
            if first.status_code != 200:
                assert first.text.replace(existing, missing) == second.text


def test_params_do_not_name_another_image_or_label(server):
    plain = server.mask("automatic", "png_0")
    more = {
        "image": str(server.studies.parent / "outside.png"),
        "model": "../x",
        "session": {"image": "/etc/passwd"},
        "label": "/etc/passwd",
        "save_label": True,
        "label_tag": "../../x",
        "logging": "../x",
        "skip_writer": True,
        "result_write_to_file": False,
        "model_filename": "../../x.pt",
        "timeout": "x",
        "image_path": "/etc/passwd",
        "pred": 5,
        "region": "x",
        "output": "../x",
    }
    assert np.array_equal(server.mask("automatic", "png_0", **more), plain)
    assert not list(server.studies.parent.glob("**/x*"))
    assert not list((server.studies / "labels" / "original").iterdir())


def test_no_file_is_uploaded_to_be_segmented(server):
    picture = (server.studies / "png_0.png").read_bytes()
    for kind in ("file", "label"):
        for name in ("x.png", "../../x.png", "x.bin"):
            files = {**form(), kind: (name, picture)}
            assert "only images of the studies" in refused(server.post("/infer/automatic?image=png_0", files=files))


@pytest.mark.parametrize(
    "suffix", ["../../x", ".png/../../x", "/x.png", ".PNG", ".py", "x", 5, [".png"], {"a": 1}, True]
)
def test_a_suffix_that_is_a_path(server, suffix):
    assert "result_extension" in refused(server.infer("automatic", "png_0", result_extension=suffix))


@pytest.mark.parametrize(
    "name, good",
    [
        ("../../x.png", True),
        ("/etc/cron.d/x.png", True),
        ("..\\..\\x.png", True),
        ("$(touch x).png", True),
        ("x" * 4000 + ".png", True),
        ("x.png/../../y", False),
        ("x.png/..", False),
        ("x.py", False),
        ("x.png\x00.py", False),
        ("..", False),
        (".", False),
        ("x." + "y" * 300, False),
        ("x.pt", False),
    ],
)
def test_the_file_name_of_a_label_is_only_read_for_its_kind(server, tmp_path, name, good):
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(tmp_path / "label.png")
    files = {**form(), "label": (name, (tmp_path / "label.png").read_bytes())}
    answer = server.ask("PUT", "/datastore/label?image=png_0", files=files)
    labels = server.studies / "labels" / "final"
    if good:
        assert answer.status_code == 200, answer.text
        assert {path.name for path in labels.iterdir()} == {"png_0.png", "tif_1.png"}
        server.remove_label("png_0")
    else:
        refused(answer)
    assert {path.name for path in labels.iterdir()} == {"tif_1.png"}


def test_links_in_the_studies_are_not_followed(server, tmp_path):
    label, outside = tmp_path / "label.png", server.studies.parent / "outside.png"
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(label)
    before = outside.read_bytes()
    assert "is a link" in refused(server.put_label("tif_1", label))
    refused(server.ask("DELETE", "/datastore/label?id=tif_1&tag=final"))
    assert outside.read_bytes() == before

    image = server.studies / "png_4.png"  # swapped while the server runs
    kept = image.read_bytes()
    image.rename(tmp_path / "kept.png")
    image.symlink_to(outside)
    try:
        refused(server.get("/datastore/image?image=png_4"))
        refused(server.infer("automatic", "png_4"))
    finally:
        image.unlink()
        (tmp_path / "kept.png").rename(image)
    assert image.read_bytes() == kept


def outlines(number: str) -> bytes:
    corners = f'<Coordinate X="{number}" Y="1"/><Coordinate X="9" Y="1"/><Coordinate X="9" Y="9"/>'
    return f'<A><Annotation Name="mitochondria"><Coordinates>{corners}</Coordinates></Annotation></A>'.encode()


@pytest.mark.parametrize(
    "name, content",
    [
        ("x.png", b"no image"),
        ("x.nii.gz", b"\x1f\x8b" + b"\0" * 40),
        ("x.mhd", b"NDims = 2\nDimSize = 88 56\nElementType = MET_UCHAR\nElementDataFile = /etc/passwd\n"),
        ("x.mha", b"NDims = 2\nDimSize = 88 56\nElementType = MET_UCHAR\nElementDataFile = /etc/passwd\n"),
        ("x.nrrd", b"NRRD0004\ntype: uchar\ndimension: 2\nsizes: 88 56\nencoding: raw\ndata file: /etc/passwd\n\n"),
        ("x.png", b""),
        ("x.xml", b"<?xml version='1.0' encoding='what'?><a/>"),
        ("x.xml", outlines("inf")),
        ("x.xml", outlines("nan")),
        ("x.xml", b"\xff\xfe\x00"),
    ],
)
def test_a_label_must_be_an_image_or_outlines(server, name, content):
    refused(server.ask("PUT", "/datastore/label?image=png_0", files={**form(), "label": (name, content)}))
    assert server.get("/datastore/").json()["completed"] == 0


def test_outlines_do_not_read_files(server):
    content = b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a><Annotation Name='&b;'/></a>"
    answer = server.ask("PUT", "/datastore/label?image=png_0", files={**form(), "label": ("x.xml", content)})
    assert "root:" not in refused(answer)


# ---- other sites, other machines


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://127.0.0.1:1", "null", "http://localhost.evil.example"]
)
def test_a_page_of_another_site(server, origin):
    page = {"origin": origin}
    for method, path in (
        ("POST", "/train/adapt"),
        ("DELETE", "/train/"),
        ("POST", "/infer/wsi/automatic?image=png_0"),
        ("POST", "/activelearning/random"),
    ):
        assert "other sites" in refused(server.ask(method, path, json={}, headers=page))
    asks = {**page, "access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    for path in ("/train/adapt", "/infer/automatic", "/datastore/label"):
        answer = requests.options(server.url + path, headers=asks, timeout=60)
        assert answer.status_code >= 400
        assert not any(name.lower().startswith("access-control") for name in answer.headers)
    answer = server.get("/info/", headers=page)
    assert not any(name.lower().startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""])
def test_a_name_that_points_here(server, host):
    for path in ("/info/", "/auth/", "/datastore/image?image=png_0"):
        assert server.get(path, headers={"host": host}).status_code in (400, 421)


def test_nobody_gets_in_without_the_token(server):
    for method, path in (
        ("GET", "/info/"),
        ("GET", "/datastore/image?image=png_0"),
        ("POST", "/train/adapt"),
        ("POST", "/infer/automatic?image=png_0"),
        ("GET", "/auth/token/valid"),
        ("GET", "/auth"),
        ("GET", "/auth/token/"),
        ("GET", "/logs/"),
    ):
        for headers in ({}, {"authorization": "token wrong"}, {"authorization": ""}, {"cookie": "prefer-das-token=x"}):
            answer = requests.request(method, server.url + path, headers=headers, timeout=60, allow_redirects=False)
            assert answer.status_code == 401


def test_a_viewer_logs_in_with_the_token_as_password(server):
    token = server.session.headers["authorization"].removeprefix("token ")
    assert requests.get(server.url + "/auth/", timeout=60).json()["enabled"] is True
    for password in ("", "wrong", token + "x", token[:-1], "ü"):
        data = {"username": "ada", "password": password, "grant_type": "password"}
        answer = requests.post(server.url + "/auth/token", data=data, timeout=60)
        assert token not in answer.text
        refused(answer)
    data = {"username": "ada", "password": token, "grant_type": "password"}
    given = requests.post(server.url + "/auth/token", data=data, timeout=60).json()
    headers = {"Authorization": f"{given['token_type']} {given['access_token']}"}  # as both viewers put it together
    for path in ("/auth/token/valid", "/info/", "/datastore/image?image=png_0"):
        assert requests.get(server.url + path, headers=headers, timeout=60).status_code == 200


def test_too_large(server):
    for path, size in (("/auth/token", 1 << 13), ("/train/adapt", 1 << 19), ("/infer/automatic?image=png_0", 1 << 21)):
        kind = {"/auth/token": "application/x-www-form-urlencoded", "/train/adapt": "application/json"}
        headers = {"content-type": kind.get(path, "multipart/form-data; boundary=x")}
        assert server.post(path, data=b"x" * size, headers=headers).status_code == 413


# ---- wrong types

WRONG_CLICKS = [
    5,
    "x",
    {"a": 1},
    [5],
    [[1]],
    ["12"],
    [[True, 1]],
    [[1e300, 1]],
    [[float("nan"), 1]],
    [[[1], 2]],
    [None],
    True,
]
DEEP = "[" * 5000 + "]" * 5000


@pytest.mark.parametrize("clicks", WRONG_CLICKS, ids=repr)
def test_clicks_that_are_none(server, clicks):
    for name in ("foreground", "background"):
        assert name in refused(server.infer("interactive", "png_0", **{name: clicks}))
        body = {"params": {name: clicks}}
        data, headers = json.dumps(body), {"content-type": "application/json"}
        assert name in refused(server.post("/infer/wsi/interactive?image=png_0", data=data, headers=headers))


@pytest.mark.parametrize(
    "device", ["cuda:99", "cuda", "CPU", "cpu:0", "mps", "meta", "", 5, [], [5], {"a": 1}, True, ["x", "cpu"]]
)
def test_devices_that_are_none(server, device):
    import torch

    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has it")
    assert "expected cpu" in refused(server.infer("automatic", "png_0", device=device)).replace("cuda", "")
    assert "device is" in refused(server.post("/train/adapt", json={"device": device}))
    assert "device is" in refused(server.post("/infer/wsi/automatic?image=png_0", json={"params": {"device": device}}))


@pytest.mark.parametrize(
    "name, value",
    [("max_epochs", value) for value in ("5", "5; import os", "$1", 0, -1, 1.5, True, 10**9, 10**30, [1], {"a": 1})]
    + [("max_epochs", None), ("pretrained", "yes"), ("pretrained", 1), ("pretrained", None), ("pretrained", [])],
)
def test_settings_of_a_training_of_another_type(server, name, value):
    assert name in refused(server.post("/train/adapt", json={name: value}))


@pytest.mark.parametrize(
    "body", [b"{", b"5", b'"x"', b"[]", b"\xff\xfe", b"{'a': 1}", DEEP.encode(), b'{"a": ' + DEEP.encode() + b"}"]
)
def test_bodies_that_are_no_json_object(server, body):
    for path in ("/train/adapt", "/activelearning/random", "/infer/wsi/automatic?image=png_0"):
        refused(server.post(path, data=body, headers={"content-type": "application/json"}))
    files = {"params": (None, body)}
    refused(server.post("/infer/automatic?image=png_0", files=files))
    label = (server.studies / "png_0.png").read_bytes()
    refused(server.ask("PUT", "/datastore/label?image=png_0", files={**files, "label": ("x.png", label)}))


@pytest.mark.parametrize(
    "path, body",
    [
        ("/infer/wsi/automatic?image=png_0", {"location": "x"}),
        ("/infer/wsi/automatic?image=png_0", {"location": [1]}),
        ("/infer/wsi/automatic?image=png_0", {"size": [1, 2, 3]}),
        ("/infer/wsi/automatic?image=png_0", {"size": [1.5, 2]}),
        ("/infer/wsi/automatic?image=png_0", {"size": [10**30, 2]}),
        ("/infer/wsi/automatic?image=png_0", {"min_poly_area": "x"}),
        ("/infer/wsi/automatic?image=png_0", {"min_poly_area": -1}),
        ("/infer/wsi/automatic?image=png_0", {"params": 5}),
        ("/infer/wsi/automatic?image=png_0", {"params": []}),
        ("/activelearning/random", {"client_id": 5}),
        ("/activelearning/random", {"client_id": "x" * 1000}),
        ("/activelearning/random", {"client_id": "\ud800"}),
        ("/activelearning/random", {"client_id": {"a": DEEP}}),
        ("/scoring/disagreement?run_sync=perhaps", {}),
    ],
)
def test_values_of_another_type(server, path, body):
    refused(server.post(path, json=body))


@pytest.mark.parametrize(
    "info",
    [5, "x", {"a": 1}, [5], [{"name": 5, "idx": 1}], [{"name": "x", "idx": "y"}], [{"name": "x" * 300, "idx": 1}]],
)
def test_what_is_said_of_a_label_is_checked_before_it_is_kept(server, info):
    label = (server.studies / "png_0.png").read_bytes()
    files = {**form(label_info=info), "label": ("x.png", label)}
    refused(server.ask("PUT", "/datastore/label?image=png_0", files=files))


def test_what_viewers_send_besides_is_left_out(server, tmp_path):
    """Slicer's form, with more in it than its form has."""
    label = tmp_path / "label.nrrd"
    itk.imwrite(itk.image_from_array(np.ones((1, HEIGHT, WIDTH), np.uint8)), str(label))
    info = [{"name": "mitochondria", "idx": 1, "path": "../../x"}]
    params = form(label_info=info, client_id="user-xyz", path="../../x", name="../../x", user={"a": 1})
    files = {**params, "label": ("/tmp/slicer/tmpx.nrrd", label.read_bytes())}
    answer = server.ask("PUT", "/datastore/label?image=nrrd_3", files=files)
    assert answer.json() == {"image": "nrrd_3", "label": "nrrd_3"}
    kept = server.get("/datastore/?output=all").json()["objects"]["nrrd_3"]["labels"]["final"]["info"]
    assert kept.pop("ts") > 0
    assert kept == {"label_info": [{"name": "mitochondria", "idx": 1}], "name": "nrrd_3.nrrd"}
    server.remove_label("nrrd_3")


def test_qupath_names_no_content_type(server):
    """Its requests are let in so, but a page's browser would name its origin."""
    for path, body in (
        ("/activelearning/random", b'{"image": ""}'),
        ("/infer/wsi/automatic?image=png_0&output=asap", b"{}"),
    ):
        request = requests.Request("POST", server.url + path, data=body, headers=dict(server.session.headers)).prepare()
        request.headers.pop("content-type", None)
        assert server.session.send(request, timeout=60).status_code == 200
        request.headers["origin"] = "https://evil.example"
        assert server.session.send(request, timeout=60).status_code == 403
