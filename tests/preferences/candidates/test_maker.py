import numpy as np
import pytest
import torch

from bundle.preferences.candidates import Dropout, HalfOfGivenClicks, Noise, OtherNetworks
from bundle.preferences.candidates.comparison import jaccard_distances
from bundle.preferences.candidates.maker import CURRENT
from tests.preferences.candidates.conftest import SHAPE, maker, prompted, roles


@pytest.fixture(scope="module")
def made(networks):
    return maker()(*roles(networks), prompted(), key="a")


def test_the_first_is_the_mask_that_the_network_gives_without_clicks(networks, made) -> None:
    masks, names, probability = made
    image = prompted()[None]
    image[:, 1:] = 0
    with torch.no_grad():
        expected = maker().inferer(image, networks["policy"])[0, 0].sigmoid().numpy()
    np.testing.assert_allclose(probability, expected, atol=1e-6)
    np.testing.assert_array_equal(masks[0], expected > 0.5)
    assert names[0] == CURRENT
    assert probability.dtype == np.float32


def test_they_differ(made) -> None:
    masks, names, _ = made
    assert masks.dtype == bool and masks.shape == (5, *SHAPE)
    assert len(set(names)) == len(names) == 5
    distances = jaccard_distances(masks)
    assert distances[~np.eye(5, dtype=bool)].min() > 0.01


def test_a_new_kind_of_candidate_is_one_class(networks) -> None:
    def opposite(original):
        yield "opposite", ~(original.pred[0, 0].sigmoid() > 0.5).numpy()

    masks, names, _ = maker(opposite)(*roles(networks), prompted())
    assert names == [CURRENT, "opposite"]
    np.testing.assert_array_equal(masks[1], ~masks[0])


def test_one_key_gives_the_same_masks_and_another_gives_others(networks, made) -> None:
    torch.manual_seed(99)  # the global random numbers have no say
    again = maker()(*roles(networks), prompted(), key="a")
    np.testing.assert_array_equal(again[0], made[0])
    assert again[1] == made[1]
    one, other = (
        maker(Noise(0.3), HalfOfGivenClicks(), Dropout(0.2))(*roles(networks), prompted(), key=key)[0] for key in "ab"
    )
    assert one.shape != other.shape or (one != other).any()


def test_copies_are_never_chosen(networks) -> None:
    """Of a network and its copy, with nothing else to vary, one mask is left."""
    masks, names, _ = maker(OtherNetworks(), min_distance=0.0)(
        networks["policy"], {"copy": networks["policy"]}, prompted()
    )
    assert (len(masks), names) == (1, [CURRENT])


@pytest.mark.parametrize("mode", [True, False])
def test_networks_are_asked_in_evaluation_mode_and_left_in_theirs(networks, mode) -> None:
    seen = []
    policy, reference = networks.values()
    policy.train(mode)
    reference.train(not mode)
    handles = [
        network.image_encoder.register_forward_hook(lambda module, *_: seen.append(module.training))
        for network in networks.values()
    ]
    maker()(*roles(networks), prompted())
    for handle in handles:
        handle.remove()
    assert not any(seen) and len(seen) > 10
    assert (policy.training, reference.training) == (mode, not mode)


def test_mode_is_restored_after_a_failure(networks) -> None:
    policy = networks["policy"].train()
    with pytest.raises(ValueError, match="clicks fall in one window"):
        crowded = prompted()
        crowded[1] = 1
        maker()(*roles(networks), crowded)
    assert policy.training
    policy.eval()


def test_count_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="at least 2, got 1"):
        maker(count=1)
