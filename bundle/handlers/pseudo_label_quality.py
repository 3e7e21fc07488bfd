"""What can be known of pseudo labels without target labels."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from ignite.engine import Engine, Events


class PseudoLabelQuality:
    """Averages over an epoch, into ``engine.state.metrics`` where loggers find them.

    - ``pseudo/believed``: share of pixels with a weight;
    - ``pseudo/foreground``: share of pixels that are pseudo foreground;
    - ``pseudo/clicks_found``: share of given foreground clicks at which the teacher itself, before it was corrected,
      says foreground (its recall, measured on what a person clicked). Absent without clicks;
    - ``pseudo/estimated_points``: estimated points an image.

    Place it before the loggers. It reads the state that :class:`bundle.engines.AdaptationTrainer` leaves.
    """

    def __init__(self) -> None:
        self.sums: dict[str, float] = defaultdict(float)
        self.counts: dict[str, int] = defaultdict(int)

    def attach(self, engine: Engine) -> None:
        """Register on an adaptation trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.reset)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.report)

    def reset(self, engine: Engine) -> None:
        """On EPOCH_STARTED: forget the last epoch."""
        self.sums.clear()
        self.counts.clear()

    def collect(self, engine: Engine) -> None:
        """On ITERATION_COMPLETED: add a batch."""
        state: Any = engine.state
        pseudo, given = state.pseudo_labels, state.given_clicks[:, :1] > 0.5
        images = len(pseudo.mask)
        self._add("pseudo/believed", pseudo.weight.mean() * images, images)
        self._add("pseudo/foreground", pseudo.mask.mean() * images, images)
        self._add("pseudo/estimated_points", pseudo.clicks[:, :1].sum() - given.sum(), images)
        self._add("pseudo/clicks_found", pseudo.predicted[given].sum(), int(given.sum()))

    def report(self, engine: Engine) -> None:
        """On EPOCH_COMPLETED: write the averages."""
        for name, count in self.counts.items():
            engine.state.metrics[name] = self.sums[name] / count

    def _add(self, name: str, total: torch.Tensor, count: int) -> None:
        if count > 0:
            self.sums[name] += float(total)
            self.counts[name] += count
