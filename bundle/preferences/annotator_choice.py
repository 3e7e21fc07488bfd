"""Who judges: people, the oracle or contours."""

from __future__ import annotations

import logging
from pathlib import Path

from bundle.preferences.annotators import Annotator
from bundle.preferences.store.judgement_store import JudgementStore

METHODS = ("lpo", "slpo", "upo", "image_dpo")
ANNOTATORS = ("auto", "people", "oracle", "evolution")

logger = logging.getLogger(__name__)


def choose_annotator(
    annotator: str, method: str, store: str | Path, oracle: Annotator, evolution: Annotator
) -> Annotator | None:
    """Find the annotator that a configuration names.

    Args:
        annotator: ``people``, ``oracle``, ``evolution``, or ``auto``: contours for ``upo``, else people if the store
            has answers of theirs. Labels are read only where the oracle is named.
        method: ``lpo``, ``slpo``, ``upo`` or ``image_dpo``.
        store: file of the store.
        oracle: knows the labels.
        evolution: knows the edges.

    Returns:
        The simulated annotator, or None for people.

    Raises:
        ValueError: the annotator or the method is unknown, or ``auto`` finds nobody.
    """
    for name, value, known in (("method", method, METHODS), ("annotator", annotator, ANNOTATORS)):
        if value not in known:
            raise ValueError(f"{name} is {value!r}, expected one of {', '.join(known)}")
    if annotator == "auto":
        if method != "upo" and not answered_by_people(store):
            raise ValueError(
                f"annotator is 'auto', and nobody has answered in {store}; vote on the page (make annotate), or name "
                "oracle (labels answer) or evolution (contours answer)"
            )
        annotator = "evolution" if method == "upo" else "people"
        logger.info("judgements come from: %s", annotator)
    return {"people": None, "oracle": oracle, "evolution": evolution}[annotator]


def answered_by_people(store: str | Path) -> bool:
    """Whether a store exists and has answers of people."""
    if not Path(store).is_file():
        return False
    with JudgementStore(store, create=False) as judgements:
        return bool(judgements.judgements(kind="person"))
