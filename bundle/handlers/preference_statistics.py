"""Reward statistics, averaged over an epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bundle.handler_order import LOGGERS
from bundle.handlers.epoch_averages import EpochAverages


class PreferenceStatistics(EpochAverages):
    """Write TRL's ``rewards/...`` and ``logps/...``, ``kl`` and ``regions/judged`` into ``engine.state.metrics``.

    Averages over the epoch: rewards and log-likelihoods over the rejected candidates of judged regions, ``kl`` over
    pixels, ``regions/judged`` over crops, see :func:`bundle.losses.preference_statistics`. Place it before
    :class:`PreferenceGuard`, :class:`ProgressFile` and the loggers, which read them.
    """

    ahead_of = ("PreferenceGuard", "ProgressFile", *LOGGERS)

    def sums_of(self, state: Any) -> Mapping[str, tuple[float, float]]:
        """Return the sums of ``engine.state.preference``."""
        sums: Mapping[str, tuple[float, float]] = state.preference
        return sums
