import random

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.data.utils import set_rnd
from monai.transforms import Compose, RandGaussianNoise

from bundle.data import ReseededDataset

NOISE = Compose([RandGaussianNoise(prob=1.0)])


class Everything(Dataset):
    """An item is what all generators give, the transform's last."""

    def __getitem__(self, index):
        drawn = float(super().__getitem__(index).sum())
        return torch.tensor([random.random(), np.random.rand(), float(torch.rand(())), drawn], dtype=torch.float64)


def epochs(seeds, workers, stay):
    """What each epoch gives whose seed is set before it."""
    dataset = ReseededDataset(Everything([torch.zeros(1, 2, 2)] * 6, NOISE))
    loader = DataLoader(dataset, batch_size=1, num_workers=workers, persistent_workers=stay)
    found = []
    for seed in seeds:
        set_rnd(dataset, seed)
        found.append(torch.cat(list(loader)))
    return found


def test_here_it_is_the_data_set_itself() -> None:
    inner = Dataset([torch.zeros(1, 2, 2), torch.ones(1, 2, 2)], NOISE)
    dataset = ReseededDataset(inner)
    set_rnd(inner, 5)
    expected = [inner[0], inner[1]]
    set_rnd(dataset, 5)
    assert len(dataset) == 2 and all(torch.equal(dataset[i], expected[i]) for i in (0, 1))
    assert dataset.set_random_state() is dataset
    assert not torch.equal(dataset[0], expected[0])


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_that_stay_draw_as_new_ones_do(workers) -> None:
    stay, new = epochs([3, 4, 3], workers, True), epochs([3, 4, 3], workers, False)
    for found, expected in zip(stay, new, strict=True):
        assert torch.equal(found, expected)
    assert torch.equal(stay[0], stay[2])
    for column in torch.cat(stay[:2]).T:
        assert len(set(column.tolist())) == len(column)
