"""Progress of a training, in a file that another process reads."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from bundle.atomic import make_folder
from bundle.json_files import write_json

ACCURACY = "rewards/accuracies"


class ProgressFile:
    """Write the progress of a preference trainer: at its start, during an epoch and after each.

    The file holds ``epoch`` and ``iteration`` (of that epoch), ``epochs`` and ``iterations`` (the totals),
    ``loss`` (of the last iteration, None before it) and ``history``: for each complete epoch its mean ``loss`` and
    its ``accuracy``, the share of comparisons in which the chosen candidate is ahead. Place it behind
    :class:`bundle.handlers.PreferenceStatistics`.

    Args:
        path: the file; its folder is made.
        every: smallest number of seconds between two writes.
    """

    def __init__(self, path: str | os.PathLike[str], every: float = 0.5) -> None:
        self.path = Path(path)
        self.every = every
        self.written = 0.0
        self.losses: list[float] = []
        self.history: list[dict[str, float | None]] = []

    def attach(self, engine: Engine) -> None:
        """Register on a preference trainer."""
        engine.add_event_handler(Events.STARTED, self.write)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iterate)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.complete)

    def iterate(self, engine: Engine) -> None:
        """On ITERATION_COMPLETED: remember the loss, and write if it is time."""
        output: Any = engine.state.output
        self.losses.append(float(output[0]["loss"]["loss"]))
        if time.monotonic() - self.written >= self.every:
            self.write(engine)

    def complete(self, engine: Engine) -> None:
        """On EPOCH_COMPLETED: add the epoch's means to ``history`` and write."""
        accuracy = engine.state.metrics.get(ACCURACY)
        mean = sum(self.losses) / max(1, len(self.losses))
        self.history.append({"loss": mean, "accuracy": None if accuracy is None else float(accuracy)})
        self.write(engine)
        self.losses = []

    def write(self, engine: Engine) -> None:
        """Write the file atomically."""
        state = engine.state
        length = int(state.epoch_length or 1)
        epoch, iteration = (state.epoch, (state.iteration - 1) % length + 1) if state.iteration else (0, 0)
        make_folder(self.path.parent)
        write_json(
            self.path,
            {
                "epoch": epoch,
                "epochs": state.max_epochs,
                "iteration": iteration,
                "iterations": length,
                "loss": self.losses[-1] if self.losses else None,
                "history": self.history,
            },
        )
        self.written = time.monotonic()
