"""Keeps a training going when the server that records it dies."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from ignite.engine import Engine, Events
from monai.handlers import MLFlowHandler

PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""MLflow's own settings of how long a call waits for a server. Its defaults let a training stand still for minutes."""

logger = logging.getLogger(__name__)


class TrackingGuard:
    """Call a recorder without letting it end what it records.

    The first call that fails is told in one warning, and no other is made: a run with a gap in its curves would look
    whole. MLflow's environment variables of :data:`PATIENCE` are set where they are not.

    Attributes:
        lost: a call has failed.
        tracker: of the trainer, to whose run its validations write; None without ``--tracking mlflow``.
    """

    def __init__(self) -> None:
        self.lost = False
        self.tracker: MLFlowHandler | None = None
        for name, value in PATIENCE.items():
            os.environ.setdefault(name, value)

    def call(self, function: Callable[..., object], *args: object, **kwargs: object) -> None:
        """Call a function unless an earlier call failed; its result is not needed."""
        if self.lost:
            return
        try:
            function(*args, **kwargs)
        except Exception as error:  # whatever a recorder, its server or its database raises
            self.lost = True
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            logger.warning(f"MLflow failed, the run goes on and is no longer recorded: {reason}")

    def protect(self, engine: Engine, tracker: MLFlowHandler) -> None:
        """Put the guard before every handler of a tracker but ``start``, which is taken off the engine.

        MLFlowHandler raises what its server raises, and MONAI has no setting for that. Call it once an engine, from a
        handler of STARTED that stands before the tracker.
        """
        engine.remove_event_handler(tracker.start, Events.STARTED)
        for event, handler in (
            (Events.ITERATION_COMPLETED, tracker.iteration_completed),
            (Events.EPOCH_COMPLETED, tracker.epoch_completed),
            (Events.COMPLETED, tracker.complete),
            (Events.COMPLETED, tracker.close),
        ):
            if engine.has_event_handler(handler, event):
                engine.remove_event_handler(handler, event)
                arguments = () if event is Events.COMPLETED else (engine,)
                engine.add_event_handler(event, _without_engine, self, handler, arguments)


def find_tracker(engine: Engine) -> MLFlowHandler | None:
    """The handler that ``--tracking mlflow`` has added. An engine has no public list of its handlers."""
    handlers = (getattr(entry[0], "__self__", None) for entry in engine._event_handlers[Events.STARTED])
    return next((handler for handler in handlers if isinstance(handler, MLFlowHandler)), None)


def _without_engine(
    engine: Engine, guard: TrackingGuard, handler: Callable[..., object], arguments: tuple[Any, ...]
) -> None:
    guard.call(handler, *arguments)
