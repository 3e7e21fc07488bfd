"""Questions and judgements over HTTP."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException

from bundle.annotate.agreement import agreements
from bundle.annotate.request_models import Name, Vote
from bundle.annotate.vote_service import VoteService


def vote_routes(vote_service: VoteService) -> APIRouter:
    """Routes of the questions that persons answer.

    Args:
        vote_service: questions and judgements.
    """
    routes = APIRouter(prefix="/api")

    @routes.get("/questions/{annotator}")
    def questions(annotator: Name) -> list[dict[str, Any]]:
        return vote_service.next_questions(annotator)

    @routes.get("/progress/{annotator}")
    def progress(annotator: Name) -> dict[str, Any]:
        return vote_service.progress(annotator)

    @routes.post("/judgements")
    def vote(given: Vote) -> dict[str, bool]:
        try:
            new = vote_service.vote(given.annotator, given.question, given.chosen, given.seconds, given.uid)
        except KeyError:
            raise HTTPException(404, "there is no such question") from None
        return {"new": new}

    @routes.get("/agreement")
    def agreement() -> list[dict[str, Any]]:
        return agreements(vote_service.store.judgements(kind="person"))

    return routes
