"""A training run that was interrupted goes on where it was."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from torch import nn

from bundle.handlers.weights import load_matching, read_state, write_state

STATE_FILE = "training_state.pt"


class Resume:
    """Write the state of a run after each epoch, and on demand take it up again.

    One file, replaced at once: a run that is killed while it writes has the state of the epoch before. (MONAI's
    ``CheckpointSaver`` with one file kept deletes the old before it has written the new.) Processes of a distributed
    run all read; the first writes. A run may be prolonged by a larger ``max_epochs``; for that the learning rate must
    be a function of the step, as that of ``LambdaLR`` is.

    Place it behind :class:`LoadWeights`, whose weights it replaces, and before :class:`MeanTeacher`, which keeps the
    teacher of a run that is not at its beginning.

    Args:
        work_dir: folder of the file, made when absent.
        state: what has a ``state_dict``, by name: networks without wrappers, optimizer, scheduler, and modules without
            parameters that remember something.
        resume: take up the run in ``work_dir`` if there is one. If not, its file is overwritten after an epoch.

    Raises:
        ValueError: when attached: the file is unreadable, of other networks, of another ``epoch_length``, or of more
            epochs than ``max_epochs``.
    """

    def __init__(self, work_dir: str | os.PathLike[str], state: Mapping[str, Any], resume: bool = False) -> None:
        self.path = Path(work_dir) / STATE_FILE
        self.state = dict(state)
        self.resume = resume
        self.position: dict[str, int] = {}

    def attach(self, engine: Engine) -> None:
        """Load, and register on a trainer."""
        if self.resume and self.path.is_file():
            self.load(engine)
        elif self.resume:
            engine.logger.info(f"nothing to resume in {self.path.parent}, the run starts anew")
        # The engine resets its counters when it starts, so they are set after that.
        engine.add_event_handler(Events.STARTED, self.move)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)

    def load(self, engine: Engine) -> None:
        """Restore everything but the engine's counters."""
        saved = read_state(self.path)
        position = saved.get("position") if isinstance(saved, dict) else None
        if position is None or set(self.state) - set(saved):
            raise ValueError(f"{self.path}: not the state of a run of this kind; choose another work_dir")
        self._check(position, engine)
        for name, target in self.state.items():
            # Networks are checked; a module that only remembers takes tensors of any size.
            if isinstance(target, nn.Module) and any(True for _ in target.parameters()):
                load_matching(target, saved[name], f"{self.path} ({name})")
            else:
                target.load_state_dict(saved[name])
        self.position = position
        engine.logger.info(f"resuming after epoch {position['epoch']} of {engine.state.max_epochs} from {self.path}")

    def _check(self, position: dict[str, int], engine: Engine) -> None:
        max_epochs = engine.state.max_epochs or 0
        if position["epoch_length"] != engine.state.epoch_length:
            raise ValueError(
                f"{self.path}: its run had epoch_length {position['epoch_length']}, not {engine.state.epoch_length}; "
                "resume with the same, or start anew"
            )
        if position["epoch"] > max_epochs:
            raise ValueError(
                f"{self.path}: its run has {position['epoch']} epochs behind it, more than max_epochs {max_epochs}; "
                "resume with at least as many, or start anew"
            )

    def move(self, engine: Engine) -> None:
        """On STARTED: go to the end of the last epoch."""
        engine.state.epoch = self.position.get("epoch", 0)
        engine.state.iteration = self.position.get("iteration", 0)

    def save(self, engine: Engine) -> None:
        """On EPOCH_COMPLETED: write."""
        if idist.get_rank() == 0:
            position = {name: getattr(engine.state, name) for name in ("epoch", "iteration", "epoch_length")}
            state = {name: source.state_dict() for name, source in self.state.items()}
            write_state({"position": position, **state}, self.path)
