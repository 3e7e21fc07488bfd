"""The validations of a training in its MLflow run: their scores and their pictures, by epoch."""

from __future__ import annotations

import os
from pathlib import Path

from ignite.engine import Engine, Events
from monai.handlers import MLFlowHandler
from PIL import Image

from bundle.handlers.tracked_run import open_run
from bundle.handlers.tracking_guard import TrackingGuard, find_tracker


class TrackedValidation:
    """Write the validations of a training to the training's run; without ``--tracking mlflow`` it does nothing.

    Pictures become MLflow images, which its page shows with a slider over the epochs. Place it behind the handler that
    draws them.

    Args:
        guard: of the trainer's :class:`bundle.handlers.TrackedRun`.
        folder: of the pictures, PNG files.
    """

    def __init__(self, guard: TrackingGuard, folder: str | os.PathLike[str]) -> None:
        self.guard = guard
        self.folder = Path(folder)
        self.tracker: MLFlowHandler | None = None

    def attach(self, engine: Engine) -> None:
        """Register on a validator."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.COMPLETED, self.log_pictures)

    def start(self, engine: Engine) -> None:
        """On STARTED, before MLFlowHandler: give it the trainer's run. Only the first validation has to."""
        tracker, trainers = find_tracker(engine), self.guard.tracker
        if tracker is None or trainers is None:
            return
        self.guard.protect(engine, tracker)
        tracker.experiment, tracker.cur_run = trainers.experiment, trainers.cur_run
        self.tracker = tracker

    def log_pictures(self, engine: Engine) -> None:
        """On COMPLETED: log the pictures."""
        if self.tracker is not None:
            for file in sorted(self.folder.glob("*.png")):
                self.guard.call(self._log_picture, self.tracker, file, engine.state.epoch)

    @staticmethod
    def _log_picture(tracker: MLFlowHandler, file: Path, epoch: int) -> None:
        with Image.open(file) as picture:
            tracker.client.log_image(
                open_run(tracker).info.run_id, picture, key=file.stem, step=epoch, synchronous=True
            )
