"""Reward margins and their like, averaged over an epoch."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from ignite.engine import Engine, Events


class PreferenceStatistics:
    """Write TRL's ``rewards/...`` and ``logps/...``, ``kl`` and ``regions/judged`` into ``engine.state.metrics``.

    Each is an average over the epoch's judged regions, see :func:`bundle.losses.preference_statistics`. Place it
    before the loggers.
    """

    def __init__(self) -> None:
        self.sums: dict[str, float] = defaultdict(float)
        self.counts: dict[str, float] = defaultdict(float)

    def attach(self, engine: Engine) -> None:
        """Register on a preference trainer."""
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
        for name, (total, count) in state.preference.items():
            self.sums[name] += total
            self.counts[name] += count

    def report(self, engine: Engine) -> None:
        """On EPOCH_COMPLETED: write the averages."""
        for name, count in self.counts.items():
            if count > 0:
                engine.state.metrics[name] = self.sums[name] / count
