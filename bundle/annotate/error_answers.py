"""Errors as HTTP answers: one line each. Of the server's own faults no detail is sent."""

from __future__ import annotations

import logging

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request

from bundle.annotate.request_guard import FAILED, one_line
from bundle.errors import StorageError, is_full

MAKE_ROOM = "this was not saved: make room on the server's disk, then send it again"

logger = logging.getLogger(__name__)


def answer_errors(app: FastAPI) -> None:
    """Make an application answer malformed requests, refusals, a full disk and its own faults in one line each.

    Args:
        app: gets the handlers; those for errors of its own are its own.
    """

    @app.exception_handler(RequestValidationError)
    def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
        return JSONResponse({"detail": one_line(f"{where}: {first['msg']}")}, 422)

    @app.exception_handler(HTTPException)
    def refused(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"detail": str(error.detail)}, error.status_code)

    @app.exception_handler(StorageError)
    def unwritable(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": one_line(f"{error}; {MAKE_ROOM}")}, 507)

    @app.exception_handler(OSError)
    def broken(request: Request, error: OSError) -> JSONResponse:
        if is_full(error):
            return unwritable(request, error)
        logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return JSONResponse({"detail": FAILED}, 500)

    @app.exception_handler(Exception)
    def failed(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": FAILED}, 500)
