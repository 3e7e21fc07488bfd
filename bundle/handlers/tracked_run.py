"""Adds to an MLflow run what ``--tracking mlflow`` leaves out: settings and files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from mlflow.entities import Param
from monai.handlers import MLFlowHandler

from bundle.handlers.run_settings import flat


class TrackedRun:
    """Complete the MLflow run of an engine; without ``--tracking mlflow`` it does nothing.

    MONAI adds its ``MLFlowHandler`` behind all handlers of the configuration. That one logs losses and metrics, and the
    configuration as a file. This one adds settings as parameters, so that runs can be compared, and the files that
    other handlers write: place it behind those.

    Args:
        params: settings; a nested one is logged as ``loss_weights.seg``.
        folder: where the files are.
        patterns: which files of the folder are logged; those of a subfolder keep it.
        end: end the run on completion. MONAI ends that of a trainer itself, but leaves that of a validator open, and
            the next run would be written to it.
    """

    def __init__(
        self,
        params: Mapping[str, Any] | None = None,
        folder: str | os.PathLike[str] | None = None,
        patterns: Sequence[str] = ("*.csv", "*.html", "pictures/*.png"),
        end: bool = False,
    ) -> None:
        self.params = flat(params or {})
        self.folder = Path(folder) if folder is not None else None
        self.patterns = tuple(patterns)
        self.end = end

    def attach(self, engine: Engine) -> None:
        """Register on an engine."""
        # MLFlowHandler opens the run on STARTED, but after this handler: it is attached later.
        engine.add_event_handler(Events.EPOCH_STARTED, self.log_params)
        engine.add_event_handler(Events.COMPLETED, self.log_files)

    def log_params(self, engine: Engine) -> None:
        """On EPOCH_STARTED: log the settings that are not logged yet."""
        tracker = _tracker(engine)
        if tracker is not None and self.params:
            params = [Param(name, str(value)) for name, value in self.params.items()]
            tracker.client.log_batch(_run_id(tracker), params=params)
            self.params = {}

    def log_files(self, engine: Engine) -> None:
        """On COMPLETED: log the files, and end the run if this is asked for."""
        tracker = _tracker(engine)
        if tracker is None:
            return
        if self.folder is not None:
            for file in sorted(file for pattern in self.patterns for file in self.folder.glob(pattern)):
                below = file.parent.relative_to(self.folder).as_posix()
                tracker.client.log_artifact(_run_id(tracker), str(file), None if below == "." else below)
        if self.end:
            tracker.close()


def _tracker(engine: Engine) -> MLFlowHandler | None:
    """The handler with the open run. An engine has no public list of its handlers."""
    handlers = (getattr(entry[0], "__self__", None) for entry in engine._event_handlers[Events.STARTED])
    return next((handler for handler in handlers if isinstance(handler, MLFlowHandler)), None)


def _run_id(tracker: MLFlowHandler) -> str:
    run: Any = tracker.cur_run
    return str(run.info.run_id)
