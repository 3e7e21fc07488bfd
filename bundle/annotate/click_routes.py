"""Images, clicks and masks over HTTP."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import JSONResponse

from bundle.annotate.click_service import ClickService
from bundle.annotate.request_models import Prompt, SavedClicks
from bundle.preferences.store.click_records import ClicksChangedError, ImageClicks
from bundle.preferences.store.saved_clicks import ExportError, as_lists


def click_routes(click_service: ClickService) -> APIRouter:
    """Routes below ``/api/images``.

    Args:
        click_service: images and clicks.
    """
    routes = APIRouter(prefix="/api/images")

    def known(number: int) -> int:
        if not 0 <= number < len(click_service.names):
            raise HTTPException(404, "there is no such image")
        return number

    @routes.get("")
    def images() -> list[dict[str, Any]]:
        return click_service.images()

    @routes.get("/{number}/picture")
    def picture(number: int) -> Response:
        return Response(click_service.picture(known(number)), media_type="image/png")

    @routes.get("/{number}/clicks")
    def clicks(number: int) -> dict[str, Any]:
        return as_content(click_service.clicks(known(number)))

    @routes.put("/{number}/clicks")
    def save(number: int, given: SavedClicks) -> Response:
        try:
            version = click_service.save(
                known(number), given.points, given.labels, given.version, given.annotator, given.uid
            )
        except ClicksChangedError as error:
            now = {**as_content(error.clicks), "annotator": error.annotator, "saved_at": error.created_at}
            return JSONResponse({"detail": str(error), "now": now}, 409)
        except ExportError as error:
            return JSONResponse({"detail": str(error)}, 507)
        return JSONResponse({"saved": len(given.points), "version": version})

    @routes.post("/{number}/mask")
    def mask(number: int, given: Prompt) -> Response:
        png = click_service.segment(known(number), given.points, given.labels, given.network)
        return Response(png, media_type="image/png")

    return routes


def as_content(clicks: ImageClicks) -> dict[str, Any]:
    """Clicks as the page has them: ``points``, ``labels`` and ``version``."""
    return {**as_lists(clicks.pixels)._asdict(), "version": clicks.version}
