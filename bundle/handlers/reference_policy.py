"""The reference policy: a frozen copy of the policy."""

from __future__ import annotations

from ignite.engine import Engine, Events
from torch import nn

from bundle.errors import SettingError


class ReferencePolicy:
    """Copy the policy's weights into the reference when training starts, and again later if asked for.

    Place it behind the handlers that load weights, and before :class:`Feedback`, where the
    reference makes candidates. A resumed run keeps the reference of its checkpoint.

    Args:
        reference: changed in place, without gradient.
        policy: may be wrapped for several devices.
        refresh_every: copy again after this many epochs, 0 for never (DPO).

    Raises:
        SettingError: when ``refresh_every`` is negative.
    """

    ahead_of = ("Feedback",)

    def __init__(self, reference: nn.Module, policy: nn.Module, refresh_every: int = 0) -> None:
        if refresh_every < 0:
            raise SettingError(f"refresh_every is a number of epochs, 0 for never, got {refresh_every}")
        self.reference = reference
        self.policy = getattr(policy, "module", policy)
        self.refresh_every = refresh_every

    def attach(self, engine: Engine) -> None:
        """Register on a trainer."""
        engine.add_event_handler(Events.STARTED, self.start)
        if self.refresh_every:
            engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.refresh_every), self.copy)

    def start(self, engine: Engine) -> None:
        """On STARTED: copy, unless the run is resumed between two copies."""
        due = self.refresh_every > 0 and engine.state.epoch % self.refresh_every == 0
        if engine.state.iteration == 0 or due:
            self.copy(engine)

    def copy(self, engine: Engine) -> None:
        """Take the policy's weights."""
        self.reference.load_state_dict(self.policy.state_dict())
