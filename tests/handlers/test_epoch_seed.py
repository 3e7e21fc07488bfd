import random

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import Dataset
from monai.transforms import Compose, RandFlip, RandGaussianNoise

from bundle.errors import SettingError
from bundle.handlers import EpochSeed


def drawn(seed: int = 0, rank: int = 0, first_epoch: int = 1) -> list[tuple[float, ...]]:
    """What each epoch to the third draws, from all generators."""
    dataset = Dataset([torch.zeros(1, 2, 2)], Compose([RandFlip(), RandGaussianNoise(prob=1.0)]))
    epochs = []

    def step(engine, batch):
        numbers = random.random(), float(np.random.rand()), float(torch.rand(())), float(dataset[0].sum())
        epochs.append((engine.state.epoch, *numbers))

    engine = Engine(step)
    EpochSeed(seed, rank, dataset).attach(engine)
    if first_epoch > 1:
        engine.load_state_dict({"epoch_length": 1, "max_epochs": 3, "iteration": first_epoch - 1})
    engine.run([0], max_epochs=3)
    return epochs


def test_an_epoch_draws_the_same_whatever_came_before() -> None:
    whole = drawn()
    random.random(), np.random.rand(), torch.rand(3)
    assert drawn() == whole
    assert drawn(first_epoch=3) == whole[2:]


def test_epochs_seeds_and_processes_differ() -> None:
    everything = [numbers[1:] for run in (drawn(), drawn(seed=1), drawn(rank=1)) for numbers in run]
    for column in zip(*everything, strict=True):
        assert len(set(column)) == len(everything)


@pytest.mark.parametrize("numbers", [(-1, 0), (0, -1)])
def test_numbers_below_zero(numbers) -> None:
    with pytest.raises(SettingError, match="seed and rank must be 0 or more"):
        EpochSeed(*numbers, dataset=None)
