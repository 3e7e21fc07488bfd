"""What the viewers ask of MONAI Label over HTTP, and nothing else.

MONAI Label's own application has some 50 endpoints, whose parameters become paths, settings and parts of commands.
Here are those that 3D Slicer and QuPath use, under the same addresses and with the same answers. Each hands on what it
names, checked; the rest of a request is not looked at.
"""

from __future__ import annotations

import hmac
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import monailabel.endpoints.activelearning as activelearning
import monailabel.endpoints.datastore as datastore
import monailabel.endpoints.infer as infer
import monailabel.endpoints.scoring as scoring
import monailabel.endpoints.train as train
import monailabel.endpoints.wsi_infer as wsi_infer
from anyio.to_thread import current_default_thread_limiter
from fastapi import BackgroundTasks, FastAPI, File, Form, HTTPException, Query, Response, UploadFile
from fastapi.responses import JSONResponse
from monailabel.interfaces.app import MONAILabelApp
from pydantic import BaseModel, Field, Json
from starlette.requests import Request

from bundle.annotate.error_answers import answer_errors
from bundle.data.image_files import SUFFIXES, read_header
from bundle.errors import DataError, MendableError

LABEL_SUFFIXES = (*(suffix for suffix in SUFFIXES if suffix != ".mhd"), ".xml")
"""An ``.mhd`` is half an image: its pixels are in another file."""
PROMPT = ("foreground", "background", "device", "result_extension")
"""What a request for a mask may say besides its image; the app checks the values."""
TRAINING = ("device", "max_epochs", "pretrained")
LOGIN = ("/auth/", "/auth/token")
"""Paths that a viewer needs before it has the token."""

Identity = Annotated[str, Query(pattern=r"^[^/\\\x00-\x1f\x7f]{1,255}$")]
Tag = Literal["final", "original"]
Pixel = Annotated[int, Field(gt=-(1 << 31), lt=1 << 31, strict=True)]
Pair = Annotated[list[Pixel], Field(min_length=2, max_length=2)]


class Region(BaseModel):
    """QuPath's request for outlines: where, and with which clicks."""

    location: Pair = [0, 0]
    size: Pair = [0, 0]
    min_poly_area: Annotated[int, Field(ge=0, lt=1 << 31, strict=True)] = 80
    params: dict[str, Any] = {}


class Segment(BaseModel):
    """A segment of Slicer in a label."""

    name: Annotated[str, Field(max_length=256)]
    idx: Annotated[int, Field(ge=0, lt=1 << 16, strict=True)]


class LabelParams(BaseModel):
    """What Slicer says of a label; it is kept in ``datastore_v2.json``."""

    label_info: Annotated[list[Segment], Field(max_length=256)] = []


class Sample(BaseModel):
    """A request for the next image."""

    client_id: Annotated[str, Field(max_length=256)] | None = None


def create_app(instance: MONAILabelApp, token: str) -> FastAPI:
    """Build the application.

    Args:
        instance: the MONAI Label app.
        token: what viewers send; they get it for itself as a password, at a login with any user name.

    Returns:
        ASGI application; put a :class:`bundle.annotate.request_guard.Gate` before it.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # one request at a time, as in MONAI Label's own server: its datastore is not made for threads
        current_default_thread_limiter().total_tokens = 1
        yield

    # QuPath names no content type; the gate says where that is allowed
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan, strict_content_type=False)

    def image_known(image: str) -> str:
        if not instance.datastore().get_image_uri(image):
            raise HTTPException(404, f"{image!r}: no such image in the studies")
        return image

    def label_known(label: str, tag: str) -> str:
        if not instance.datastore().get_label_uri(label, tag):
            raise HTTPException(404, f"{label!r}: no such label in the studies")
        return label

    @app.get("/auth/")
    def auth() -> dict[str, Any]:
        return {"enabled": True, "client_id": "prefer-das", "realm": "prefer-das"}

    @app.post("/auth/token")
    def login(username: Annotated[str, Form()], password: Annotated[str, Form()]) -> dict[str, str]:
        if not hmac.compare_digest(password.encode(), token.encode()):
            raise HTTPException(401, "the password is the token that the server printed at its start")
        return {"access_token": token, "token_type": "token"}

    @app.get("/auth/token/valid")
    def valid() -> dict[str, Any]:
        return {}

    @app.get("/info/")
    def info() -> dict[str, Any]:
        return dict(instance.info())

    @app.post("/infer/{model}")
    def segment(
        background: BackgroundTasks,
        model: str,
        image: Identity,
        params: Annotated[Json[dict[str, Any]] | None, Form()] = None,
        output: Literal["image", "json", "all"] | None = None,
        session_id: str = "",
        file: Annotated[UploadFile | None, File()] = None,
        label: Annotated[UploadFile | None, File()] = None,
    ) -> Any:
        if session_id or file or label:
            raise HTTPException(400, "only images of the studies are segmented; open one with Next Sample")
        request = {"model": model, "image": image_known(image), **picked(params or {}, PROMPT)}
        return infer.send_response(instance.datastore(), instance.infer(request), output, background)

    @app.post("/infer/wsi/{model}")
    def outline(
        background: BackgroundTasks,
        model: str,
        image: Identity,
        region: Region,
        output: Literal["asap", "dsa", "json"] = "dsa",
    ) -> Any:
        where = region.model_dump(exclude={"params"})
        prompt = picked(region.params, PROMPT)
        request = {"model": model, "image": image_known(image), "output": output, **where, **prompt}
        return wsi_infer.send_response(instance.datastore(), instance.infer_wsi(request), output, background)

    @app.post("/activelearning/{strategy}")
    def sample(strategy: str, given: Sample | None = None) -> Any:
        known(strategy, instance.info()["strategies"], "strategy")
        return activelearning.sample(strategy, given.model_dump(exclude_none=True) if given else {}, "viewer")

    @app.get("/scoring/")
    def scoring_status(all: bool = False, check_if_running: bool = False) -> Any:
        return scoring.status(all, check_if_running)

    @app.post("/scoring/{method}")
    def score(method: str, run_sync: bool = False) -> Any:
        return scoring.run_method(known(method, instance.info()["scoring"], "method"), {}, run_sync)

    @app.get("/train/")
    def train_status(all: bool = False, check_if_running: bool = False) -> Any:
        return train.status(all, check_if_running)

    @app.post("/train/{model}")
    def start(model: str, given: dict[str, Any] | None = None) -> Any:
        known(model, instance.info()["trainers"], "model")
        request = picked(given or {}, TRAINING)
        instance.check_training(model, request)
        return train.run_model(model, request)

    @app.delete("/train/")
    def stop() -> Any:
        return train.stop()

    @app.get("/datastore/")
    def listing(output: Literal["train", "stats", "all"] = "stats") -> Any:
        return datastore.datastore(datastore.ResultType(output))

    @app.head("/datastore/image")
    def has_image(image: Identity) -> Response:
        image_known(image)
        return Response()

    @app.get("/datastore/image")
    def picture(image: Identity) -> Response:
        return datastore.download_image(image_known(image))

    @app.get("/datastore/label")
    def mask(label: Identity, tag: Tag) -> Response:
        return datastore.download_label(label_known(label, tag), tag)

    @app.put("/datastore/label")
    def save(
        image: Identity,
        label: Annotated[UploadFile, File()],
        params: Annotated[Json[LabelParams] | None, Form()] = None,
        tag: Tag = "final",
    ) -> dict[str, Any]:
        name = (label.filename or "").lower()
        suffix = max((end for end in LABEL_SUFFIXES if name.endswith(end)), key=len, default=None)
        if suffix is None:
            raise HTTPException(400, f"{name[-80:]!r} is no label, expected a file {' '.join(LABEL_SUFFIXES)}")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"label{suffix}"
            with file.open("wb") as out:
                shutil.copyfileobj(label.file, out)
            if suffix in SUFFIXES:
                check_size(file, instance.datastore().get_image_uri(image_known(image)))
            instance.datastore().save_label(image_known(image), str(file), tag, (params or LabelParams()).model_dump())
        instance.on_save_label(image, image)
        return {"image": image, "label": image}

    @app.delete("/datastore/label")
    def remove(id: Identity, tag: Tag) -> dict[str, Any]:
        return datastore.remove_label(label_known(id, tag), tag)

    answer_errors(app)

    @app.exception_handler(MendableError)
    def unusable(request: Request, error: MendableError) -> JSONResponse:
        return JSONResponse({"detail": str(error).splitlines()[0]}, 400)

    return app


def picked(given: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Those of the values that have one of the names."""
    return {name: given[name] for name in names if name in given}


def known(name: str, names: Iterable[str], what: str) -> str:
    """A name out of some.

    Raises:
        HTTPException: 404, it is none of them.
    """
    if name not in names:
        raise HTTPException(404, f"{name[:80]!r}: no such {what}, expected {' or '.join(names)}")
    return name


def check_size(label: Path, image: str) -> None:
    """Refuse a label that is no image of its image's size.

    Raises:
        DataError: it is not.
    """
    try:
        header = read_header(label)
    except DataError as error:
        raise DataError(str(error).replace(f"{label}: ", "the label ", 1)) from None
    size = read_header(image).size
    if header.sections != 1 or header.size != size:
        raise DataError(f"the label is {header.size} pixels (width, height) x {header.sections}, its image is {size}")
