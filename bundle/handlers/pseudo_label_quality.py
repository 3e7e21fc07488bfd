"""Statistics of pseudo labels that need no target labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bundle.channels import foreground_of
from bundle.handler_order import LOGGERS
from bundle.handlers.epoch_averages import EpochAverages


class PseudoLabelQuality(EpochAverages):
    """Averages over an epoch, into ``engine.state.metrics`` where loggers find them.

    - ``pseudo/believed``: share of pixels with a weight;
    - ``pseudo/foreground``: share of pixels that are pseudo foreground;
    - ``pseudo/clicks_found``: share of given foreground clicks that lie in the teacher's mask before clicks correct it
      (the teacher's recall on clicked instances). Not written without clicks;
    - ``pseudo/estimated_points``: estimated points per image.

    Place it before the loggers. It reads the state that :class:`bundle.engines.AdaptationTrainer` leaves.
    """

    ahead_of = LOGGERS

    def sums_of(self, state: Any) -> Mapping[str, tuple[float, float]]:
        """Return the sums of ``engine.state.pseudo_labels``."""
        pseudo, given = state.pseudo_labels, foreground_of(state.given_clicks) > 0.5
        images, clicks = len(pseudo.mask), int(given.sum())
        return {
            "pseudo/believed": (float(pseudo.weight.mean() * images), images),
            "pseudo/foreground": (float(pseudo.mask.mean() * images), images),
            "pseudo/estimated_points": (float(foreground_of(pseudo.clicks).sum() - clicks), images),
            "pseudo/clicks_found": (float(pseudo.predicted[given].sum()), clicks),
        }
