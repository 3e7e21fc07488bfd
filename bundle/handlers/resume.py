"""Keeps the state of a run after each epoch, so that an interrupted run goes on where it was."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from torch import nn

from bundle.errors import DataError, SettingError
from bundle.handlers.run_settings import differences, flat, told
from bundle.handlers.weights import AGAIN, load_matching
from bundle.state_files import first_spoilt, read_state, write_state

STATE_FILE = "training_state.pt"
POSITION = ("epoch", "iteration", "epoch_length")
SCALER = "scaler"


class Resume:
    """Write the state of a run after each epoch, and on demand take it up again.

    One file, replaced at once: a run that is killed while it writes has the state of the epoch before. (MONAI's
    ``CheckpointSaver`` with one file kept deletes the old before it has written the new.) Processes of a distributed
    run all read; the first writes. A run may be prolonged by a larger ``max_epochs``; for that the learning rate must
    be a function of the step, as that of ``LambdaLR`` is.

    Generators of random numbers are not kept: :class:`EpochSeed` seeds them for each epoch. A gradient scaler that the
    trainer uses is kept.

    The file keeps the settings that change the result. A run with other settings is not resumed: it would silently keep
    some of the old ones, such as the learning rate. A state with values that are not finite is neither written nor
    resumed.

    Place it behind :class:`LoadWeights`, whose weights it replaces, and before :class:`MeanTeacher`,
    :class:`ReferencePolicy` and :class:`Feedback`, which behave differently in a resumed run.

    Args:
        work_dir: folder of the file, made when absent.
        state: objects with a ``state_dict``, by name: networks without wrappers, optimizer, scheduler, and modules
            without parameters that keep a state.
        resume: take up the run in ``work_dir`` if there is one. If not, its file is overwritten after an epoch.
        settings: must be the same in a resumed run, see
            :func:`bundle.handlers.run_settings.flat`. The class of the trainer is compared too.

    Raises:
        SettingError: when attached: the run had other settings, another ``epoch_length``, or more epochs than
            ``max_epochs``.
        DataError: when attached: the file is unreadable, not finite, or of other networks; on EPOCH_COMPLETED: the
            state is not finite, or the disk is full.
    """

    ahead_of = ("MeanTeacher", "ReferencePolicy", "Feedback")

    def __init__(
        self,
        work_dir: str | os.PathLike[str],
        state: Mapping[str, Any],
        resume: bool = False,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = Path(work_dir) / STATE_FILE
        self.state = dict(state)
        self.resume = resume
        self.settings = flat(settings or {})
        self.position: dict[str, int] = {}
        self.scaler: dict[str, Any] = {}

    def attach(self, engine: Engine) -> None:
        """Load, and register on a trainer."""
        self.settings["trainer"] = type(engine).__name__
        there = self.path.is_file()
        if self.resume and there:
            self.load(engine)
        elif self.resume:
            engine.logger.info(f"nothing to resume in {self.path.parent}, the run starts anew")
        elif there:
            engine.logger.warning(
                f"{self.path} is of an earlier run, and is overwritten when the first epoch of this one is complete; "
                "to go on with that run, stop now and resume it"
            )
        # The engine resets its counters when it starts, so they are set after that.
        engine.add_event_handler(Events.STARTED, self.move)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)

    def load(self, engine: Engine) -> None:
        """Restore everything but the engine's counters."""
        saved = read_state(self.path)
        position = saved.get("position") if isinstance(saved, dict) else None
        if position is None or not _is_position(position) or set(self.state) - set(saved):
            raise DataError(f"{self.path}: not the state of a run of this kind; choose another work_dir")
        self._compare(saved.get("settings"), engine)
        self._check(position, engine)
        spoilt = first_spoilt(saved)
        if spoilt:
            raise DataError(f"{self.path}: {spoilt}: that run diverged; start anew, or choose another work_dir")
        for name, target in self.state.items():
            # Shapes of networks are checked; other modules take tensors of any size.
            if isinstance(target, nn.Module) and any(True for _ in target.parameters()):
                load_matching(target, saved[name], f"{self.path} ({name})")
                continue
            try:
                target.load_state_dict(saved[name])
            except Exception as error:  # a malformed file may fail in any way
                raise DataError(
                    f"{self.path}: its {name} does not fit ({type(error).__name__}); start anew, or choose another "
                    "work_dir"
                ) from error
        self.position = position
        self.scaler = saved.get(SCALER, {})
        engine.logger.info(f"resuming after epoch {position['epoch']} of {engine.state.max_epochs} from {self.path}")

    def _compare(self, saved: Any, engine: Engine) -> None:
        if not isinstance(saved, dict):
            engine.logger.warning(
                f"{self.path}: its run did not write down its settings; see to it that this one has the same"
            )
            return
        found = differences(saved, self.settings)
        if found:
            raise SettingError(
                f"{self.path}: its run had {told(found)}. Resume with the same settings, or start anew, best in "
                "another work_dir"
            )

    def _check(self, position: dict[str, int], engine: Engine) -> None:
        max_epochs = engine.state.max_epochs or 0
        if position["epoch_length"] != engine.state.epoch_length:
            raise SettingError(
                f"{self.path}: its run had epoch_length {position['epoch_length']}, not {engine.state.epoch_length}; "
                "resume with the same, or start anew"
            )
        if position["epoch"] > max_epochs:
            raise SettingError(
                f"{self.path}: its run has {position['epoch']} epochs behind it, more than max_epochs {max_epochs}; "
                "resume with at least as many, or start anew"
            )

    def move(self, engine: Engine) -> None:
        """On STARTED: go to the end of the last epoch, with its gradient scaler, made when a trainer starts."""
        engine.state.epoch = self.position.get("epoch", 0)
        engine.state.iteration = self.position.get("iteration", 0)
        scaler = getattr(engine, SCALER, None)
        if scaler is not None and self.scaler:
            scaler.load_state_dict(self.scaler)

    def save(self, engine: Engine) -> None:
        """On EPOCH_COMPLETED: write."""
        if idist.get_rank() == 0:
            position = {name: getattr(engine.state, name) for name in POSITION}
            state = {name: source.state_dict() for name, source in self.state.items()}
            scaler = getattr(engine, SCALER, None)
            if scaler is not None:
                state[SCALER] = scaler.state_dict()
            write_state({"position": position, "settings": self.settings, **state}, self.path, again=AGAIN)


def _is_position(position: Any) -> bool:
    return isinstance(position, dict) and all(isinstance(position.get(name), int) for name in POSITION)
