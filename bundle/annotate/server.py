"""The annotation server: clicks and votes over HTTP, and the page that asks for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from bundle.annotate.click_routes import click_routes
from bundle.annotate.click_service import ClickService
from bundle.annotate.error_answers import answer_errors
from bundle.annotate.request_guard import one_line
from bundle.annotate.training_process import Training
from bundle.annotate.training_routes import training_routes
from bundle.annotate.vote_routes import vote_routes
from bundle.annotate.vote_service import VoteService
from bundle.errors import MendableError

PAGE = Path(__file__).with_name("page")


def create_app(click_service: ClickService, vote_service: VoteService, training: Training) -> FastAPI:
    """Build the application.

    Args:
        click_service: images and clicks.
        vote_service: questions and judgements.
        training: of a network on the judgements; stopped with the server.

    Returns:
        ASGI application; put a :class:`bundle.annotate.request_guard.Gate` before it.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(training.close)

    app = FastAPI(title="Prefer-DAS annotation", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.include_router(click_routes(click_service))
    app.include_router(vote_routes(vote_service))
    app.include_router(training_routes(training, lambda: click_service.has_trained))
    app.mount("/", StaticFiles(directory=PAGE, html=True, follow_symlink=False))

    answer_errors(app)

    @app.exception_handler(MendableError)
    def unusable(request: Request, error: MendableError) -> JSONResponse:
        return JSONResponse({"detail": one_line(str(error))}, 422)

    return app
