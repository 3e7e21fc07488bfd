import numpy as np
import pytest
import torch
from monai.data import CacheDataset, DataLoader
from monai.transforms import Compose, RandSpatialCropd
from monai.utils import set_determinism

from bundle import keys as K
from bundle.data.domain_pair_dataset import DomainPairDataset, match_gray_values


def prompted(seed: int, scale: float, offset: float) -> torch.Tensor:
    em = scale * torch.randn(1, 24, 16, generator=torch.Generator().manual_seed(seed)) ** 3 + offset
    clicks = torch.zeros(2, 24, 16)
    clicks[0, 5, 7] = 1
    return torch.cat((em, clicks))


def pairs(**settings) -> DomainPairDataset:
    source = [{K.IMAGE: prompted(seed, 1.0, 0.0), K.LABEL: torch.full((1, 24, 16), seed)} for seed in range(3)]
    target = [{K.IMAGE: prompted(seed, 3.0, 5.0)} for seed in range(10, 14)]
    dataset = DomainPairDataset(target, None, source, progress=False, **settings)
    dataset.set_random_state(0)
    return dataset


def test_matched_images_have_the_gray_values_of_the_reference_in_their_own_order():
    image, reference = prompted(0, 1.0, 0.0), prompted(1, 3.0, 5.0)
    matched = match_gray_values(image, reference)
    assert torch.allclose(matched[0].flatten().sort().values, reference[0].flatten().sort().values, atol=1e-4)
    assert (matched[0].flatten()[image[0].flatten().argsort()].diff() >= 0).all()
    assert torch.equal(matched[1:], image[1:])


def test_matching_is_off_by_default_and_as_frequent_as_asked():
    def matched(dataset):
        return np.mean([abs(float(dataset[i % 4][K.SOURCE][K.IMAGE][0].mean())) > 2 for i in range(200)])

    assert matched(pairs()) == 0
    assert matched(pairs(match_prob=1.0)) == 1
    assert 0.35 < matched(pairs(match_prob=0.5)) < 0.65


def test_the_source_itself_is_not_changed():
    dataset = pairs(match_prob=1.0)
    before = [item[K.IMAGE].clone() for item in dataset.source]
    for i in range(4):
        dataset[i]
    assert all(torch.equal(a, item[K.IMAGE]) for a, item in zip(before, dataset.source, strict=True))


def test_an_item_says_which_target_it_is():
    dataset = pairs()
    assert [dataset[i][K.TARGET][K.INDEX] for i in range(4)] == [0, 1, 2, 3]
    assert not any(dataset[i][K.TARGET][K.COMPLETE] for i in range(4))


def test_a_probability_out_of_range_is_refused():
    with pytest.raises(ValueError, match="match_prob"):
        pairs(match_prob=1.5)


SIDE = 64


def places(seed: int, workers: int, epochs: int = 1) -> list[dict[str, np.ndarray]]:
    """Where the crops of each epoch were made: (64,2), x and y, in the source and in the target.

    There is one image, and a crop of one pixel tells its place.
    """
    x, y = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    images = [{K.IMAGE: torch.stack((x, y)).float()}] * 64
    set_determinism(seed)
    try:
        crops = [Compose([RandSpatialCropd(K.IMAGE, roi_size=[1, 1], random_size=False)]) for _ in range(2)]
        source = CacheDataset(images, crops[0], progress=False)
        batches = DataLoader(DomainPairDataset(images, crops[1], source, progress=False), workers, batch_size=2)
        found = [list(batches) for _ in range(epochs)]
    finally:
        set_determinism(None)
    return [
        {name: np.concatenate([pair[name][K.IMAGE].numpy()[..., 0, 0] for pair in pairs]) for name in pairs[0]}
        for pairs in found
    ]


def share(one: np.ndarray, other: np.ndarray) -> float:
    """Share of the places that are the same in both."""
    return float((one == other).all(1).mean())


def test_workers_epochs_and_processes_draw_crops_of_their_own():
    """Batches of two go to two workers in turn. A process has a seed of its own, as multi_gpu_train.json gives it."""
    (first, second), (other_process,) = places(seed=0, workers=2, epochs=2), places(seed=1, workers=2)
    for name in (K.SOURCE, K.TARGET):
        assert share(first[name], second[name]) < 0.1
        assert share(first[name], other_process[name]) < 0.1
        workers = [first[name].reshape(-1, 2, 2)[number::2].reshape(-1, 2) for number in range(2)]
        assert share(*workers) < 0.1


@pytest.mark.parametrize("workers", [0, 2])
def test_source_and_target_crops_have_nothing_to_do_with_each_other(workers):
    (found,) = places(seed=0, workers=workers)
    for axis in range(2):
        assert abs(np.corrcoef(found[K.SOURCE][:, axis], found[K.TARGET][:, axis])[0, 1]) < 0.4


@pytest.mark.parametrize("workers", [0, 2])
def test_one_seed_draws_the_same_crops(workers):
    one, other = (places(seed=3, workers=workers, epochs=2) for _ in range(2))
    assert all(share(a[name], b[name]) == 1 for a, b in zip(one, other, strict=True) for name in a)
