"""Stops preference learning that agrees with its judgements but spoils the rest of the mask."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events
from torch import nn

from bundle.errors import SettingError


class PreferenceGuard:
    """Stop when ``rewards/accuracies`` is no lower than in the first epoch while the anchor's loss is above a limit.

    A policy that changes everywhere can agree with the judgements and still lose what was right before: the known
    collapse of preference learning. On stopping the weights of the last good epoch are restored, and the run ends as if
    it were complete. An accuracy or anchor that is NaN counts as collapse. Place it behind
    :class:`PreferenceStatistics`, and before :class:`Resume` and :class:`SaveWeights`, so that they save the restored
    weights and not the collapsed ones. :class:`Resume` keeps its state.

    Args:
        networks: whose weights are kept and restored, by name: the policy and its teacher.
        max_anchor: largest mean of the part ``anchor`` over an epoch, in nats a pixel.

    Raises:
        SettingError: when ``max_anchor`` is not above 0.
    """

    ahead_of = ("Resume", "SaveWeights")

    def __init__(self, networks: Mapping[str, nn.Module], max_anchor: float = 0.1) -> None:
        if not max_anchor > 0:
            raise SettingError(f"max_anchor must be above 0, got {max_anchor}")
        self.networks = dict(networks)
        self.max_anchor = max_anchor
        self.total, self.count = 0.0, 0
        self.first_accuracy: float | None = None
        self.good: dict[str, dict[str, Any]] | None = None

    def state_dict(self) -> dict[str, float | None]:
        """State for a resumed run; the weights that it starts with count as good."""
        return {"first_accuracy": self.first_accuracy}

    def load_state_dict(self, state: Mapping[str, float | None]) -> None:
        """Restore the state of :meth:`state_dict`."""
        self.first_accuracy = state["first_accuracy"]

    def attach(self, engine: Engine) -> None:
        """Register on a preference trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.reset)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.check)

    def keep(self, engine: Engine) -> None:
        """Remember the weights as good."""
        self.good = {name: copy.deepcopy(network.state_dict()) for name, network in self.networks.items()}

    def reset(self, engine: Engine) -> None:
        """On EPOCH_STARTED: forget the last epoch; before the first, remember the weights."""
        if self.good is None:
            self.keep(engine)
        self.total, self.count = 0.0, 0

    def collect(self, engine: Engine) -> None:
        """On ITERATION_COMPLETED: add the anchor's loss."""
        output: Any = engine.state.output
        self.total += output[0]["loss"]["loss_anchor"]
        self.count += 1

    def check(self, engine: Engine) -> None:
        """On EPOCH_COMPLETED: go on, or restore and stop."""
        accuracy, anchor = engine.state.metrics.get("rewards/accuracies"), self.total / max(self.count, 1)
        if accuracy is None:
            return
        if self.first_accuracy is None:
            self.first_accuracy = float(accuracy)
        # Every comparison with NaN is false: these are written so that NaN is bad.
        if anchor <= self.max_anchor:
            self.keep(engine)
        elif not accuracy < self.first_accuracy and self.good is not None:
            for name, network in self.networks.items():
                network.load_state_dict(self.good[name])
            engine.logger.warning(
                f"stopped after epoch {engine.state.epoch}: preference accuracy is {accuracy:.2f}, but the policy has "
                f"left the reference where nobody asked it to (anchor {anchor:.3f}, above {self.max_anchor:g}); the "
                "weights of the last good epoch are kept. A lower learning_rate, a larger weight of the anchor or "
                "normalize_by disagreement may help"
            )
            engine.terminate()
