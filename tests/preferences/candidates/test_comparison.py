import numpy as np
import pytest

from bundle.preferences.candidates.comparison import (
    disputed,
    distinct,
    diversity,
    jaccard_distances,
    majority,
    most_different,
    regional_dice,
    representatives,
)


def test_disputed() -> None:
    masks = np.array([[[1, 1, 0, 0]], [[1, 0, 0, 1]], [[1, 1, 0, 0]]], dtype=bool)
    assert disputed(masks).tolist() == [[False, True, False, True]]


def test_copies_in_a_region_count_once() -> None:
    candidates = np.array([[[1, 1, 0]], [[1, 0, 0]], [[1, 1, 0]]], dtype=bool)
    assert distinct(candidates, np.ones((1, 3), dtype=bool)) == [0, 1]
    assert distinct(candidates, ~disputed(candidates)) == [0]


def test_a_majority_has_nothing_that_is_thinner_than_three_pixels() -> None:
    candidates = np.zeros((3, 7, 7), dtype=bool)
    candidates[:2, 2:5, 2:5] = True  # most have the square
    candidates[:, 6] = True  # all have the line
    candidates[2] = True
    square = np.zeros((7, 7), dtype=bool)
    square[2:5, 3] = square[3, 2:5] = True  # opened by a cross, a square of three pixels is one
    assert (majority(candidates) == square).all()


def test_regional_dice_by_hand() -> None:
    candidates = np.array([[[1, 1, 0, 1]], [[0, 0, 0, 1]]], dtype=bool)
    truth, region = np.array([[1, 0, 0, 0]], dtype=bool), np.array([[1, 1, 1, 0]], dtype=bool)
    assert regional_dice(candidates, truth, region) == pytest.approx([3 / 4, 1 / 2])
    assert regional_dice(candidates, truth & False, region) == pytest.approx([1 / 3, 1])


def test_distances_by_hand() -> None:
    masks = np.array([[[1, 1, 0, 0]], [[0, 1, 1, 0]], [[0, 0, 0, 0]]], dtype=bool)
    expected = [[0, 2 / 3, 1], [2 / 3, 0, 1], [1, 1, 0]]
    np.testing.assert_allclose(jaccard_distances(masks), expected, atol=1e-6)
    assert diversity(masks) == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert diversity(masks[:1]) == diversity(masks[[0, 0]]) == diversity(masks[[2, 2]]) == 0


def test_each_is_the_farthest_from_those_chosen() -> None:
    row = np.arange(10)
    masks = np.stack([row < n for n in (5, 5, 6, 10, 1)])[:, None]
    # From the first: 0, 0, 1/6, 1/2, 4/5; then the one with 10 is 1/2 from the first and 9/10 from the last.
    assert most_different(masks, 3) == [0, 4, 3]
    assert most_different(masks, 9) == [0, 4, 3, 2]
    assert most_different(masks, 9, min_distance=0.2) == [0, 4, 3]


def test_representatives_stand_for_all_in_the_region() -> None:
    masks = np.zeros((6, 12, 4), dtype=bool)
    for number, width in enumerate((4, 5, 4, 11, 10, 12)):
        masks[number, :width, 0] = True
    region = np.zeros((12, 4), dtype=bool)
    region[:, :2] = True
    masks[:, :, 3] = np.random.default_rng(0).random((6, 12)) < 0.5  # outside of the region
    assert representatives(masks, region, 2) == [0, 3], "one of the narrow and the middle one of the wide"
    assert representatives(masks, region, 5) == [0, 1, 3, 4, 5], "copies count once"
    assert representatives(masks, region, 8) == [0, 1, 3, 4, 5]


def test_no_other_choice_represents_better() -> None:
    masks = np.random.default_rng(1).random((6, 5, 5)) < 0.5
    everywhere = np.ones((5, 5), dtype=bool)
    chosen = representatives(masks, everywhere, 3)
    distances = jaccard_distances(masks)
    found = distances[:, chosen].min(axis=1).sum()
    for one in range(6):
        for other in range(6):
            for third in range(6):
                assert found <= distances[:, [one, other, third]].min(axis=1).sum() + 1e-9
