"""Adds to an MLflow run what ``--tracking mlflow`` leaves out: its parent, settings, files and the model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from mlflow.entities import Param, Run
from mlflow.exceptions import MlflowException
from monai.handlers import MLFlowHandler
from torch import nn

from bundle.errors import SettingError
from bundle.handlers.logged_network import log_network
from bundle.handlers.parent_run import nest
from bundle.handlers.run_settings import flat
from bundle.handlers.tracking_guard import TrackingGuard, find_tracker

PARAMS_AT_ONCE = 100
"""As many as MLflow takes."""


class TrackedRun:
    """Complete the MLflow run of an engine; without ``--tracking mlflow`` it does nothing.

    MONAI adds its ``MLFlowHandler`` behind all handlers of the configuration. That one logs losses and metrics, and the
    configuration as a file. This one nests the run below a parent, adds settings as parameters, so that runs can be
    compared, the files that other handlers write (place it behind those), and the network. A server that fails after
    the start no longer ends the engine: see :class:`bundle.handlers.tracking_guard.TrackingGuard`.

    Args:
        params: settings; a nested one is logged as ``loss_weights.seg``.
        folder: where the files are.
        patterns: which files of the folder are logged; those of a subfolder keep it.
        end: end the run on completion. MONAI ends that of a trainer itself, but leaves that of a validator open, and
            the next run would be written to it.
        parent: name of the run of the whole way; None for a run by itself.
        network: logged as a model on completion; None for none.
        crop_size: (X,Y) pixels of the model's example.
        guard: shared with :class:`bundle.handlers.TrackedValidation`; None for one of its own.

    Raises:
        SettingError: when the engine starts: the server or database cannot be used.
    """

    def __init__(
        self,
        params: Mapping[str, Any] | None = None,
        folder: str | os.PathLike[str] | None = None,
        patterns: Sequence[str] = ("*.csv", "*.html", "pictures/*.png", "extremes/*.png"),
        end: bool = False,
        parent: str | None = None,
        network: nn.Module | None = None,
        crop_size: Sequence[int] = (256, 256),
        guard: TrackingGuard | None = None,
    ) -> None:
        self.params = flat(params or {})
        self.folder = Path(folder) if folder is not None else None
        self.patterns = tuple(patterns)
        self.end = end
        self.parent = parent
        self.network = network
        self.crop_size = tuple(crop_size)
        self.guard = TrackingGuard() if guard is None else guard
        self.parent_id: str | None = None

    def attach(self, engine: Engine) -> None:
        """Register on an engine."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.COMPLETED, self.complete)

    def start(self, engine: Engine) -> None:
        """On STARTED, before MLFlowHandler: open the run, nest it and log the settings."""
        tracker = self.guard.tracker = find_tracker(engine)
        if tracker is None:
            return
        self.guard.protect(engine, tracker)
        try:
            self._open(engine, tracker)
        except (MlflowException, OSError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0]
            uri = tracker.client.tracking_uri
            raise SettingError(f"tracking_uri {uri}: {reason}; start the server, or leave out --tracking") from error

    def complete(self, engine: Engine) -> None:
        """On COMPLETED: log the files and the network, and end the runs that MONAI does not end."""
        if self.guard.tracker is not None:
            self.guard.call(self._complete, self.guard.tracker)

    def _open(self, engine: Engine, tracker: MLFlowHandler) -> None:
        tracker.start(engine)
        if self.parent is not None:
            self.parent_id = nest(tracker.client, open_run(tracker), self.parent)
        run_id = open_run(tracker).info.run_id
        params = [Param(name, str(value)) for name, value in self.params.items()]
        for begin in range(0, len(params), PARAMS_AT_ONCE):
            tracker.client.log_batch(run_id, params=params[begin : begin + PARAMS_AT_ONCE])

    def _complete(self, tracker: MLFlowHandler) -> None:
        run_id = open_run(tracker).info.run_id
        if self.folder is not None:
            for file in sorted(file for pattern in self.patterns for file in self.folder.glob(pattern)):
                below = file.parent.relative_to(self.folder).as_posix()
                tracker.client.log_artifact(run_id, str(file), None if below == "." else below)
        if self.network is not None:
            log_network(self.network, self.crop_size, open_run(tracker), tracker.client)
        if self.parent_id is not None:
            tracker.client.set_terminated(self.parent_id)
        if self.end:
            tracker.close()


def open_run(tracker: MLFlowHandler) -> Run:
    """The run that a tracker has open."""
    run: Any = tracker.cur_run
    if not isinstance(run, Run):
        raise TypeError(f"the tracker's run is {run}, expected an open run")
    return run
