"""A data set whose transforms can be seeded anew in worker processes that stay from one epoch to the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ignite.utils import manual_seed
from monai.data.utils import set_rnd
from monai.transforms import Randomizable
from torch.utils.data import Dataset, get_worker_info


class ReseededDataset(Dataset[Any], Randomizable):
    """The items of another data set.

    A data loader seeds its worker processes when it starts them, so those that persist would draw random numbers that
    depend on all epochs before. Here the seed of the main process lies in shared memory. A worker that finds another
    one there than before seeds all its generators from it and from its own number. So an epoch draws the same whether
    its workers are new or not.

    Args:
        dataset: has items by number, and transforms that :func:`monai.data.utils.set_rnd` can seed.
    """

    def __init__(self, dataset: Sequence[Any]) -> None:
        self.dataset = dataset
        self._seed = torch.full((), -1, dtype=torch.long).share_memory_()
        self._taken = -1

    def __len__(self) -> int:
        """Number of items."""
        return len(self.dataset)

    def __getitem__(self, index: Any) -> Any:
        """Return an item."""
        worker = get_worker_info()
        if worker is not None and int(self._seed) != self._taken:
            self._taken = int(self._seed)
            everything, transforms = np.random.SeedSequence([self._taken, worker.id]).generate_state(2)
            manual_seed(int(everything))
            set_rnd(self.dataset, int(transforms))
        return self.dataset[index]

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> ReseededDataset:
        """Seed the transforms: in this process at once, in worker processes before their next item.

        Args:
            seed: 0 or more; None for one that the operating system gives.
            state: drawn from for a seed when there is none.

        Returns:
            This data set.
        """
        super().set_random_state(seed, state)
        if seed is None:
            seed = int(self.R.randint(2**32, dtype=np.uint64))
        if get_worker_info() is None:
            self._seed.fill_(seed)
        set_rnd(self.dataset, seed)
        return self
