"""How errors are told over HTTP: one line each, and of the server's own faults only that there was one."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request

from bundle.annotate.gate import FAILED, one_line


def answer_errors(app: FastAPI) -> None:
    """Let an application answer malformed requests, refusals and its own faults with one line of JSON each.

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

    @app.exception_handler(Exception)
    def failed(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": FAILED}, 500)
