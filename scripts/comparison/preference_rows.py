"""The rows of a comparison that learn from preferences, and what their annotators gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bundle.preferences.store.judgement_store import JudgementStore

NOISE = (0.1, 0.2, 0.3)


@dataclass(frozen=True)
class PreferenceRow:
    """Stage 2 from the network of another row, with the clicks that this one had.

    Attributes:
        start: the other row.
        method: of configs/prefer.json.
        budget: share of the regions that are asked about; None for all.
        noise: probability that the oracle errs.
        settings: further ones of configs/prefer.json.
    """

    start: str
    method: str
    budget: float | None = None
    noise: float = 0.0
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def rounds(self) -> bool:
        """Questions come in rounds, about candidates of the network as it then is: they are this row's own."""
        return "feedback_every" in self.settings

    @property
    def annotator(self) -> str:
        """Contours for UPO, else the labels, in the place of a person."""
        return "evolution" if self.method == "upo" else "oracle"


PREFERENCES = {
    "wda_15+image_dpo": PreferenceRow("wda_15", "image_dpo"),
    "wda_15+upo": PreferenceRow("wda_15", "upo"),
    "wda_15+slpo_15": PreferenceRow("wda_15", "slpo", budget=0.15),
    "wda_15+lpo": PreferenceRow("wda_15", "lpo"),
}

STUDY = {
    "source_only+image_dpo": PreferenceRow("source_only", "image_dpo"),
    "source_only+lpo": PreferenceRow("source_only", "lpo"),
    **{f"wda_15+lpo@{noise:g}": PreferenceRow("wda_15", "lpo", noise=noise) for noise in NOISE},
}
"""Preferences alone, without adaptation before; and annotators that err."""

LOSSES = ("ipo", "hinge", "pixel", "component")

ABLATION = {
    "wda_15+lpo_nll_alone": PreferenceRow("wda_15", "lpo", settings={"loss_weights#preference": 0.0}),
    "wda_15+lpo_dpo_alone": PreferenceRow("wda_15", "lpo", settings={"loss_weights#nll": 0.0}),
    **{f"wda_15+lpo_{loss}": PreferenceRow("wda_15", "lpo", settings={"loss_type": loss}) for loss in LOSSES},
    "wda_15+lpo_hard": PreferenceRow("wda_15", "lpo", settings={"hard_rejected": 1}),
    "wda_15+slpo_15_three_rounds": PreferenceRow(
        "wda_15", "slpo", budget=0.05, settings={"feedback_every": "$max(1, @max_epochs // 3)"}
    ),
    "wda_15+slpo_15_objects": PreferenceRow(
        "wda_15", "slpo", budget=0.15, settings={"region_split": "objects:3", "shown_count": 3}
    ),
    "wda_15+slpo_15_none": PreferenceRow("wda_15", "slpo", budget=0.15, settings={"none_below": 0.5}),
    "wda_15+slpo_15@0.2": PreferenceRow("wda_15", "slpo", budget=0.15, noise=0.2),
}
"""One part of the loss without the other; other comparisons beside the likelihood, one rejected candidate;
as many questions in rounds, questions about whole objects, *none of these*, one judgement in five that errs."""


def in_order(rows: tuple[str, ...], preferences: dict[str, PreferenceRow]) -> tuple[str, ...]:
    """All rows of a table, each that learns from preferences behind the one it starts from."""
    return tuple(
        name for row in rows for name in (row, *(name for name, given in preferences.items() if given.start == row))
    )


def read_cost(store: Path) -> dict[str, float]:
    """What the annotator of a row gave.

    Args:
        store: its store of judgements.

    Returns:
        ``judgements``, the number of those other than ``skip``, and ``annotation_seconds``, the time that all
        take a person.
    """
    with JudgementStore(store, create=False) as judgements:
        given = judgements.judgements()
    return {
        "judgements": sum(judgement.chosen != "skip" for judgement in given),
        "annotation_seconds": round(sum(judgement.seconds for judgement in given), 1),
    }
