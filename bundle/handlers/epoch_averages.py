"""Averages of per-iteration statistics over an epoch, written to ``engine.state.metrics``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events


class EpochAverages(ABC):
    """Average per-iteration statistics over an epoch. A metric whose count is 0 is not written.

    An Ignite handler. Place it before the loggers.
    """

    def __init__(self) -> None:
        self.sums: dict[str, float] = defaultdict(float)
        self.counts: dict[str, float] = defaultdict(float)

    @abstractmethod
    def sums_of(self, state: Any) -> Mapping[str, tuple[float, float]]:
        """Return for each name the sum over the iteration's batch and the count."""

    def attach(self, engine: Engine) -> None:
        """Register on a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.reset)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.report)

    def reset(self, engine: Engine) -> None:
        """On EPOCH_STARTED: forget the last epoch."""
        self.sums.clear()
        self.counts.clear()

    def collect(self, engine: Engine) -> None:
        """On ITERATION_COMPLETED: add a batch."""
        for name, (total, count) in self.sums_of(engine.state).items():
            self.sums[name] += total
            self.counts[name] += count

    def report(self, engine: Engine) -> None:
        """On EPOCH_COMPLETED: write the averages."""
        for name, count in self.counts.items():
            if count > 0:
                engine.state.metrics[name] = self.sums[name] / count
