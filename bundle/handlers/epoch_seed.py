"""Random numbers of an epoch that depend on nothing before it."""

from __future__ import annotations

from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from ignite.utils import manual_seed
from monai.data.utils import set_rnd

from bundle.errors import SettingError


class EpochSeed:
    """Seed Python, NumPy, PyTorch and the transforms of a data set when an epoch starts, from the number of the epoch.

    So a run that is resumed after an epoch draws what an undisturbed one draws, and needs no state of any generator.
    Place it before all that draws when an epoch starts. Worker processes that are started for the epoch are seeded from
    PyTorch's generator; those that stay, by :class:`bundle.data.ReseededDataset`.

    Args:
        seed: of the run, 0 or more.
        rank: number of the process; each draws numbers of its own.
        dataset: what the data loader reads, whose transforms keep states of their own.

    Raises:
        SettingError: a number is below 0.
    """

    ahead_of = ("Resume", "Feedback", "MeanTeacher", "ReferencePolicy")

    def __init__(self, seed: int, rank: int, dataset: Any) -> None:
        if seed < 0 or rank < 0:
            raise SettingError(f"seed and rank must be 0 or more, got {seed} and {rank}")
        self.seed = seed
        self.rank = rank
        self.dataset = dataset

    def attach(self, engine: Engine) -> None:
        """Register on a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.reseed)

    def reseed(self, engine: Engine) -> None:
        """On EPOCH_STARTED: seed all."""
        mixed = np.random.SeedSequence([self.seed, self.rank, engine.state.epoch])
        everything, transforms = (int(number) for number in mixed.generate_state(2))
        manual_seed(everything)
        set_rnd(self.dataset, transforms)
