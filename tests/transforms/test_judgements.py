from collections import Counter

import numpy as np
import pytest
import torch
from monai.transforms import Compose, RandCropByPosNegLabeld, RandFlipd, RandRotate90d, SpatialPadd

from bundle import keys as K
from bundle.losses.preference import PreferenceLoss
from bundle.transforms.judgements import GatherChosend, LoadJudgementsd, judgement_maps
from tests.preferences.hand_made import BLOCK, SHAPE, candidates_of, write

TRUTH = np.random.default_rng(0).random(SHAPE) < 0.5
MASKS = candidates_of(TRUTH)  # in block b of 8 x 8 pixels candidate b % 3 is the truth
ALL = (0, 1, 2)
JUDGEMENTS = [("grid:8", 4, 1, ALL), ("grid:8", 0, 0, ALL), ("grid:8", 5, 0, ALL)]  # the last judge was wrong
CHOSEN_OF_BLOCK = {4: 1, 0: 0, 5: 0}
MAPS = [K.IMAGE, K.CANDIDATES, K.REGIONS, K.CHOSEN, K.JUDGED]


def item(tmp_path, judgements=JUDGEMENTS, masks=MASKS) -> dict:
    """Its image numbers the pixels from 1, so that each can be found again."""
    number = torch.arange(1.0, TRUTH.size + 1).view(1, *SHAPE)
    file = write(tmp_path / "a.npz", masks)
    image = torch.cat((number, torch.zeros(2, *SHAPE)))
    return {K.IMAGE: image, K.CANDIDATES_FILE: str(file), K.JUDGEMENTS: judgements}


def crop(size: tuple[int, int]) -> Compose:
    """What the configuration does to an item behind LoadJudgementsd."""
    return Compose(
        [
            SpatialPadd(MAPS, spatial_size=size),
            RandCropByPosNegLabeld(MAPS, label_key=K.JUDGED, spatial_size=size, pos=1, neg=0, num_samples=1),
            RandFlipd(MAPS, prob=0.5, spatial_axis=0),
            RandFlipd(MAPS, prob=0.5, spatial_axis=1),
            RandRotate90d(MAPS, prob=0.5, max_k=3),
            GatherChosend(max_regions=4),
        ]
    )


def test_maps_say_which_region_and_which_chosen() -> None:
    regions, chosen = judgement_maps(MASKS, JUDGEMENTS)
    expected = np.zeros((2, *SHAPE), np.int32)
    for number, (_, block, choice, _) in enumerate(JUDGEMENTS, start=1):
        expected[:, block == BLOCK] = np.array([[number], [choice + 1]])
    np.testing.assert_array_equal((regions, chosen), expected)


def test_none_of_these_stays_what_it_is(tmp_path) -> None:
    loaded = LoadJudgementsd(max_candidates=3)(
        item(tmp_path, judgements=[("grid:8", 4, K.NONE, ALL), ("grid:8", 0, 2, ALL)])
    )
    np.testing.assert_array_equal(loaded[K.JUDGED][0], np.isin(BLOCK, [0, 4]))
    padded = SpatialPadd(MAPS, spatial_size=(32, 32))(loaded)
    out = GatherChosend(max_regions=3)(padded)
    assert sorted(out[K.CHOSEN].tolist()) == [K.NONE, -1, 2]
    inside = out[K.REGIONS][4:28, 8:24] == out[K.CHOSEN].tolist().index(K.NONE)
    np.testing.assert_array_equal(inside, BLOCK == 4)


def test_of_overlapping_regions_the_later_one_counts() -> None:
    regions, chosen = judgement_maps(MASKS, [("image", 0, 2, ALL), ("grid:8", 3, 1, ALL)])
    np.testing.assert_array_equal(regions, np.where(BLOCK == 3, 2, 1))
    np.testing.assert_array_equal(chosen, np.where(BLOCK == 3, 2, 3))


def test_an_item_gets_its_maps(tmp_path) -> None:
    loaded = LoadJudgementsd(max_candidates=3)(item(tmp_path))
    assert set(loaded) == set(MAPS)
    np.testing.assert_array_equal(loaded[K.CANDIDATES], MASKS)
    assert loaded[K.CANDIDATES].dtype == torch.float32
    judged = np.isin(BLOCK, list(CHOSEN_OF_BLOCK))
    np.testing.assert_array_equal(loaded[K.JUDGED][0], judged)
    np.testing.assert_array_equal(loaded[K.REGIONS][0] > 0, judged)


def test_crops_are_drawn_where_candidates_disagree(tmp_path) -> None:
    masks = MASKS.copy()
    masks[:, 4:] = True  # of all that was judged only the first four columns of block 0 are disputed
    loaded = LoadJudgementsd(max_candidates=3)(item(tmp_path, masks=masks))
    np.testing.assert_array_equal(loaded[K.JUDGED][0], (BLOCK == 0) & (np.arange(SHAPE[0]) < 4)[:, None])


@pytest.mark.parametrize("size", [(16, 8), (16, 16), (32, 32)], ids=["crop", "crop one way", "pad"])
def test_a_chosen_stays_with_its_pixels(tmp_path, size) -> None:
    loaded = LoadJudgementsd(max_candidates=3)(item(tmp_path))
    augment, seen = crop(size).set_random_state(0), set()
    for _ in range(20):
        (out,) = augment(loaded)
        number, regions, chosen = out[K.IMAGE][0].long(), out[K.REGIONS], out[K.CHOSEN]
        assert regions.dtype == chosen.dtype == torch.long
        assert chosen.shape == (4,) and regions.shape == number.shape
        real = number > 0
        assert (regions[~real] == -1).all()
        block = torch.from_numpy(BLOCK.flatten())[number[real] - 1]
        np.testing.assert_array_equal(out[K.CANDIDATES][:, real], MASKS.reshape(3, -1)[:, number[real] - 1])
        here = {(b, r) for b, r in zip(block.tolist(), regions[real].tolist(), strict=True)}
        judged = {b: r for b, r in here if b in CHOSEN_OF_BLOCK}
        assert len(judged) == len([b for b, _ in here if b in CHOSEN_OF_BLOCK])  # a block is one region
        assert {b: int(chosen[r]) for b, r in judged.items()} == {b: CHOSEN_OF_BLOCK[b] for b in judged}
        assert {r for b, r in here if b not in CHOSEN_OF_BLOCK} <= {-1}
        used = sorted(judged.values())
        assert used == list(range(len(used)))
        assert chosen[len(used) :].tolist() == [-1] * (4 - len(used))
        seen.add(tuple(number.flatten().tolist()))
    assert len(seen) > 3


def test_of_too_many_regions_some_are_drawn() -> None:
    numbers = torch.tensor([[[5, 5, 5, 0, 0, 0], [7, 9, 9, 0, 0, 2]]])
    chosen = torch.tensor([[[1, 1, 1, 0, 0, 0], [2, 3, 3, 0, 0, 4]]])
    gather, kept = GatherChosend(max_regions=2).set_random_state(0), Counter()
    for _ in range(400):
        out = gather({K.REGIONS: numbers, K.CHOSEN: chosen})
        inside = out[K.REGIONS] >= 0
        pairs = set(zip(out[K.CHOSEN][out[K.REGIONS][inside]].tolist(), numbers[0][inside].tolist(), strict=True))
        assert len(pairs) == 2 and pairs <= {(0, 5), (1, 7), (2, 9), (3, 2)}
        kept.update(pairs)
    assert min(kept.values()) > 150  # of 200 expected, whatever their size


def test_a_region_in_the_corner_is_seen_as_often_as_others(tmp_path) -> None:
    loaded = LoadJudgementsd(max_candidates=3)(
        item(tmp_path, judgements=[("grid:8", 0, 1, ALL), ("grid:8", 5, 1, ALL)])
    )
    augment, corners = crop((8, 8)).set_random_state(0), Counter()
    for _ in range(200):
        corners.update({1.0, float(TRUTH.size)} & set(augment(loaded)[0][K.IMAGE][0].flatten().tolist()))
    assert min(corners[1.0], corners[TRUTH.size]) > 15


def test_candidates_that_were_not_shown_are_neither_rejected_nor_disputed(tmp_path) -> None:
    judgements = [("grid:8", 4, 1, (0, 1)), ("grid:8", 0, 0, ALL), ("grid:8", 2, K.NONE, (1, 2))]
    loaded = LoadJudgementsd(max_candidates=3)(item(tmp_path, judgements))
    masks = loaded[K.CANDIDATES].numpy() > 0
    expected = MASKS.copy()
    expected[2, BLOCK == 4] = MASKS[1, BLOCK == 4]
    expected[0, BLOCK == 2] = MASKS[1, BLOCK == 2]
    np.testing.assert_array_equal(masks, expected)
    out = GatherChosend(max_regions=4)(loaded)
    judged = tuple(out[key].unsqueeze(0) for key in (K.CANDIDATES, K.CHOSEN, K.REGIONS))
    rewards = PreferenceLoss().rewards(*torch.zeros(2, 1, 1, *SHAPE), *judged)
    assert rewards.rejected.sum(dim=2).tolist() == [[1, 2, 0, 0]]


def test_a_crop_without_judgements_has_no_region() -> None:
    nothing = torch.zeros(1, 4, 4, dtype=torch.int32)
    out = GatherChosend(max_regions=3)({K.REGIONS: nothing, K.CHOSEN: nothing})
    assert (out[K.REGIONS] == -1).all()
    assert out[K.CHOSEN].tolist() == [-1] * 3


def test_added_candidates_are_not_rejected(tmp_path) -> None:
    policy = torch.randn(1, 1, *SHAPE, generator=torch.Generator().manual_seed(0))
    losses, rejected = [], []
    for count in (3, 8):
        out = GatherChosend(max_regions=4)(LoadJudgementsd(max_candidates=count)(item(tmp_path)))
        judged = tuple(out[key].unsqueeze(0) for key in (K.CANDIDATES, K.CHOSEN, K.REGIONS))
        assert judged[0].shape == (1, count, *SHAPE)
        rewards = PreferenceLoss().rewards(policy, torch.zeros_like(policy), *judged)
        losses.append(PreferenceLoss().loss_of(rewards))
        rejected.append(rewards.rejected.sum().item())
    assert rejected == [5, 5]  # in block 5 candidates 0 and 1 are the same
    torch.testing.assert_close(losses[0], losses[1])


def test_candidates_that_do_not_belong_to_the_image(tmp_path) -> None:
    spoiled = item(tmp_path)
    spoiled[K.IMAGE] = spoiled[K.IMAGE][:, :-1]
    with pytest.raises(ValueError, match=r"a\.npz: candidates of \(24, 16\) pixels, image of \(23, 16\)"):
        LoadJudgementsd(max_candidates=3)(spoiled)
    with pytest.raises(ValueError, match=r"a\.npz: 3 candidates, more than candidates_count 2"):
        LoadJudgementsd(max_candidates=2)(item(tmp_path))
