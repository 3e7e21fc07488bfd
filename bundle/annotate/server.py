"""The annotation server: clicks and votes over HTTP, and the page that asks for them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Response
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from bundle.annotate.agreement import agreements
from bundle.annotate.click_service import Clicker, Which
from bundle.annotate.error_answers import answer_errors
from bundle.annotate.request_guard import one_line
from bundle.annotate.training_process import BusyError, Method, Training
from bundle.annotate.vote_service import NAME, Ballot
from bundle.preferences.store.click_records import ClicksChangedError, ImageClicks
from bundle.preferences.store.saved_clicks import ExportError, as_lists

PAGE = Path(__file__).with_name("page")

logger = logging.getLogger(__name__)

Pixel = Annotated[int, Field(ge=0, lt=1 << 20, strict=True)]
Name = Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
Uid = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
Identity = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Clicks(BaseModel):
    """Clicks on an image: [x, y] in pixels, column first, with 1 for foreground and 0 for background each."""

    model_config = ConfigDict(extra="forbid")
    points: Annotated[list[tuple[Pixel, Pixel]], Field(max_length=4096)]
    labels: Annotated[list[Literal[0, 1]], Field(max_length=4096)]


class SavedClicks(Clicks):
    """Clicks in place of those of a version; the same ``uid`` sent again is stored once."""

    uid: Uid
    annotator: Name
    version: Annotated[int, Field(ge=0, lt=1 << 53, strict=True)]


class Prompt(Clicks):
    """Clicks, and the network that shall segment with them."""

    network: Which = "start"


class Start(BaseModel):
    """A training; the page chooses nothing but its method."""

    model_config = ConfigDict(extra="forbid")
    method: Method


class Nothing(BaseModel):
    """A request that says all by its address."""

    model_config = ConfigDict(extra="forbid")


class Answer(BaseModel):
    """An answer to a question; the same ``uid`` sent again is stored once."""

    model_config = ConfigDict(extra="forbid")
    uid: Uid
    annotator: Name
    question: Identity
    answer: Annotated[int, Field(ge=0, lt=64, strict=True)] | Literal["tie", "skip", "undo"]
    seconds: Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)]


def create_app(clicker: Clicker, ballot: Ballot, training: Training) -> FastAPI:
    """Build the application.

    Args:
        clicker: images and clicks.
        ballot: questions and answers.
        training: of a network on the answers; stopped with the server.

    Returns:
        ASGI application; put a :class:`bundle.annotate.request_guard.Gate` before it.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(training.close)

    app = FastAPI(title="Prefer-DAS annotation", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)

    def known(number: int) -> int:
        if not 0 <= number < len(clicker.names):
            raise HTTPException(404, "there is no such image")
        return number

    def report() -> dict[str, Any]:
        return {**training.status(), "trained": clicker.has_trained}

    @app.get("/api/images")
    def images() -> list[dict[str, Any]]:
        return clicker.images()

    @app.get("/api/images/{number}/picture")
    def picture(number: int) -> Response:
        return Response(clicker.picture(known(number)), media_type="image/png")

    @app.get("/api/images/{number}/clicks")
    def clicks(number: int) -> dict[str, Any]:
        return as_content(clicker.clicks(known(number)))

    @app.put("/api/images/{number}/clicks")
    def save(number: int, given: SavedClicks) -> Response:
        try:
            version = clicker.save(known(number), given.points, given.labels, given.version, given.annotator, given.uid)
        except ClicksChangedError as error:
            now = {**as_content(error.clicks), "annotator": error.annotator, "saved_at": error.created_at}
            return JSONResponse({"detail": str(error), "now": now}, 409)
        except ExportError as error:
            return JSONResponse({"detail": str(error)}, 507)
        return JSONResponse({"saved": len(given.points), "version": version})

    @app.post("/api/images/{number}/mask")
    def mask(number: int, given: Prompt) -> Response:
        png = clicker.segment(known(number), given.points, given.labels, given.network)
        return Response(png, media_type="image/png")

    @app.get("/api/questions/{annotator}")
    def questions(annotator: Name) -> list[dict[str, Any]]:
        return ballot.next_questions(annotator)

    @app.get("/api/progress/{annotator}")
    def progress(annotator: Name) -> dict[str, Any]:
        return ballot.progress(annotator)

    @app.post("/api/judgements")
    def judge(given: Answer) -> dict[str, bool]:
        try:
            new = ballot.answer(given.annotator, given.question, given.answer, given.seconds, given.uid)
        except KeyError:
            raise HTTPException(404, "there is no such question") from None
        return {"new": new}

    @app.get("/api/agreement")
    def agreement() -> list[dict[str, Any]]:
        return agreements(ballot.store.judgements(kind="person"))

    @app.get("/api/training")
    def status() -> dict[str, Any]:
        return report()

    @app.post("/api/training")
    def train(given: Start) -> dict[str, Any]:
        try:
            training.start(given.method)
        except BusyError as error:
            raise HTTPException(409, str(error)) from None
        return report()

    @app.post("/api/training/stop")
    def stop(given: Nothing) -> dict[str, Any]:
        training.stop()
        return report()

    @app.get("/api/training/picture")
    def judged() -> Response:
        try:
            return Response(training.picture.read_bytes(), media_type="image/png")
        except OSError:
            raise HTTPException(404, "there is no picture of before and after yet") from None

    app.mount("/", StaticFiles(directory=PAGE, html=True, follow_symlink=False))

    answer_errors(app)

    @app.exception_handler(ValueError)
    def unusable(request: Request, error: ValueError) -> JSONResponse:
        return JSONResponse({"detail": one_line(str(error))}, 422)

    return app


def as_content(clicks: ImageClicks) -> dict[str, Any]:
    """Clicks as the page has them: ``points``, ``labels`` and ``version``."""
    return {**as_lists(clicks.pixels)._asdict(), "version": clicks.version}
