"""A training on the judgements, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, HTTPException, Response

from bundle.annotate.request_models import Nothing, Start
from bundle.annotate.training_lock import BusyError
from bundle.annotate.training_process import Training


def training_routes(training: Training, is_trained: Callable[[], bool]) -> APIRouter:
    """Routes below ``/api/training``.

    Args:
        training: of a network on the judgements.
        is_trained: whether the page can show masks of a trained network.
    """
    routes = APIRouter(prefix="/api/training")

    def report() -> dict[str, Any]:
        return {**training.status(), "trained": is_trained()}

    @routes.get("")
    def status() -> dict[str, Any]:
        return report()

    @routes.post("")
    def train(given: Start) -> dict[str, Any]:
        try:
            training.start(given.method)
        except BusyError as error:
            raise HTTPException(409, str(error)) from None
        return report()

    @routes.post("/stop")
    def stop(given: Nothing) -> dict[str, Any]:
        training.stop()
        return report()

    @routes.get("/picture")
    def judged() -> Response:
        try:
            return Response(training.picture.read_bytes(), media_type="image/png")
        except OSError:
            raise HTTPException(404, "there is no picture of before and after yet") from None

    return routes
