import torch

from bundle.self_training.components import Components


def test_a_seed_reaches_what_is_connected() -> None:
    region = torch.tensor(
        [
            [1, 1, 0, 0, 1],
            [0, 0, 1, 0, 1],  # reached over the corner
            [0, 0, 0, 0, 1],
            [1, 0, 0, 0, 0],
        ]
    ).bool()[None, None]
    seeds = torch.zeros_like(region)
    seeds[0, 0, 0, 0] = seeds[0, 0, 2, 1] = True  # the second is outside the region
    expected = torch.tensor([[1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0] * 5, [0] * 5]).bool()[None, None]
    assert torch.equal(Components(region).holding(seeds), expected)


def test_it_follows_a_winding_path_to_its_end() -> None:
    region = torch.zeros(1, 1, 31, 32, dtype=torch.bool)
    region[:, :, ::2] = True  # lanes, joined at their ends in turn
    region[0, 0, 1::4, -1] = region[0, 0, 3::4, 0] = True
    seeds = torch.zeros_like(region)
    seeds[0, 0, 0, 0] = True
    assert torch.equal(Components(region).holding(seeds), region)
    region[0, 0, 29, -1] = False
    assert Components(region).holding(seeds)[0, 0].any(dim=1).nonzero().max() == 28


def test_it_stays_in_its_image() -> None:
    region = torch.ones(2, 1, 1, 10, dtype=torch.bool)
    seeds = torch.zeros_like(region)
    seeds[0, 0, 0, 0] = True
    assert Components(region).holding(seeds).sum(dim=(1, 2, 3)).tolist() == [10, 0]


def test_centres() -> None:
    mask, seeds = torch.zeros(2, 2, 1, 9, 12, dtype=torch.bool).unbind(0)
    mask[0, 0, 1:4, 1:6] = True  # one seed: to its middle
    mask[0, 0, 6:9, 1:6] = True  # two seeds: they stay
    mask[1, 0, 0:7, 2] = mask[1, 0, 6, 2:9] = True  # an angle, whose centroid is outside
    for place in ((0, 0, 1, 1), (0, 0, 6, 1), (0, 0, 8, 5), (0, 0, 4, 10), (1, 0, 0, 2)):
        seeds[place] = True
    moved = Components(mask).centres_of(seeds)
    assert moved.nonzero()[:, [0, 2, 3]].tolist() == [[0, 2, 3], [0, 4, 10], [0, 6, 1], [0, 8, 5], [1, 6, 4]]
    nothing = torch.zeros_like(mask)
    assert torch.equal(Components(nothing).centres_of(seeds), seeds)
    assert torch.equal(Components(mask).centres_of(nothing), nothing)
