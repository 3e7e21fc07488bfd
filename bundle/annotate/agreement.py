"""Agreement between annotators: share of equal judgements, and Cohen's kappa."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any

from sklearn.metrics import cohen_kappa_score

from bundle.preferences.store.judgement_store import Judgement


def agreements(judgements: Iterable[Judgement]) -> list[dict[str, Any]]:
    """Compare annotators two by two (Cohen's kappa, doi:10.1177/001316446002000104, by scikit-learn).

    Args:
        judgements: those that count. A skipped question was not answered.

    Returns:
        For each pair with common questions ``annotators`` (two names), ``questions`` (how many both answered),
        ``same`` (share of equal judgements) and ``kappa`` in [-1,1], None where both chose one and the same
        throughout, for which it is not defined.
    """
    chosen: dict[str, dict[str, str]] = {}
    for judgement in judgements:
        if judgement.chosen != "skip":
            chosen.setdefault(judgement.annotator, {})[judgement.question.id] = str(judgement.chosen)
    found = []
    for one, other in combinations(sorted(chosen), 2):
        common = sorted(chosen[one].keys() & chosen[other].keys())
        if not common:
            continue
        a, b = ([chosen[name][question] for question in common] for name in (one, other))
        defined = len({*a, *b}) > 1
        found.append(
            {
                "annotators": [one, other],
                "questions": len(common),
                "same": sum(x == y for x, y in zip(a, b, strict=True)) / len(common),
                "kappa": float(cohen_kappa_score(a, b)) if defined else None,
            }
        )
    return found
