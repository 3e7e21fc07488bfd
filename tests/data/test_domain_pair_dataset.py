import numpy as np
import pytest
import torch

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
