import numpy as np
import pytest

from bundle.preferences.questions.priorities import STRATEGIES, choose_by_budget, priorities, spread_over_images
from bundle.preferences.questions.regions import split_regions

# Regions of 2 x 2: all split evenly; one of four candidates differs; two pixels split evenly; all agree.
MASKS = np.zeros((4, 8, 2), dtype=bool)
MASKS[:2, 0:2] = True
MASKS[:1, 2:4] = True
MASKS[:2, 4:6, 0] = True
MASKS[:, 6:8] = True
PROBABILITY = np.full((8, 2), 0.5)
PROBABILITY[0:2] = [[0.0, 1.0], [0.25, 0.5]]
GRID = split_regions("grid:2", MASKS)


def test_disagreement_by_hand() -> None:
    found = priorities("disagreement", MASKS, PROBABILITY, GRID, min_disputed=1)
    assert found == pytest.approx({0: 4.0, 1: 3.0, 2: 2.0})


def test_uncertainty_by_hand() -> None:
    found = priorities("uncertainty", MASKS, PROBABILITY, GRID, min_disputed=1)
    # 0 and 1 are sure; 1/4 has the entropy 2 - 3/4 log2(3); region 2 has two disputed pixels of one bit
    assert found == pytest.approx({0: 0 + 0 + 2 - 0.75 * np.log2(3) + 1, 1: 4.0, 2: 2.0})


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_regions_with_little_dispute_are_not_asked_about(strategy: str) -> None:
    assert list(priorities(strategy, MASKS, PROBABILITY, GRID)) == [0, 1]
    assert list(priorities(strategy, MASKS, PROBABILITY, GRID, min_disputed=2)) == [0, 1, 2]
    assert priorities(strategy, MASKS[:1], PROBABILITY, GRID) == {}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_pixels_of_no_region_do_not_count(strategy: str) -> None:
    regions = np.where(GRID == 1, -1, GRID)
    every = priorities(strategy, MASKS, PROBABILITY, GRID, min_disputed=1)
    assert priorities(strategy, MASKS, PROBABILITY, regions, min_disputed=1) == {0: every[0], 2: every[2]}


def test_random_depends_on_seed_and_key_alone() -> None:
    def draw(seed: int, key: str) -> dict[int, float]:
        return priorities("random", MASKS, PROBABILITY, GRID, seed=seed, key=key)

    first = draw(0, "a")
    draw(0, "b")
    assert draw(0, "a") == first
    assert draw(1, "a") != first and draw(0, "b") != first
    assert all(0 <= value < 1 for value in first.values())


def test_random_prefers_no_region() -> None:
    firsts = [
        max(found, key=found.__getitem__)
        for found in (priorities("random", MASKS, PROBABILITY, GRID, key=str(i), min_disputed=2) for i in range(600))
    ]
    share = np.bincount(firsts, minlength=3) / len(firsts)
    assert np.abs(share - 1 / 3).max() < 4 * np.sqrt(2 / 9 / len(firsts))


def test_unknown_strategy() -> None:
    with pytest.raises(ValueError, match="strategy is 'best': expected random, disagreement or uncertainty"):
        priorities("best", MASKS, PROBABILITY, GRID)


def test_without_dispute_there_is_nothing_to_ask() -> None:
    with pytest.raises(ValueError, match="min_disputed is 0"):
        priorities("random", MASKS, PROBABILITY, GRID, min_disputed=0)


def test_budget_keeps_the_most_urgent() -> None:
    assert choose_by_budget([1.0, 3.0, 2.0, 0.0], 0.5) == [1, 2]
    assert choose_by_budget([1.0, 3.0, 2.0, 0.0], 0.51) == [1, 2, 0]
    assert choose_by_budget([1.0, 3.0, 2.0, 0.0], 1.0) == [1, 2, 0, 3]
    assert choose_by_budget([1.0, 3.0], 0.001) == [1]
    assert choose_by_budget([], 0.5) == []


def test_budget_is_stable() -> None:
    assert choose_by_budget([1.0, 2.0, 1.0, 2.0, 1.0], 0.8) == [1, 3, 0, 2]


@pytest.mark.parametrize(("budget", "n", "count"), [(0.1, 30, 3), (0.15, 100, 15), (0.07, 100, 7), (0.15, 101, 16)])
def test_budget_is_rounded_up_but_not_by_rounding_errors(budget: float, n: int, count: int) -> None:
    assert len(choose_by_budget([0.0] * n, budget)) == count


@pytest.mark.parametrize("budget", [0, -0.1, 1.1, float("nan"), 15])
def test_budget_is_a_share(budget: float) -> None:
    with pytest.raises(ValueError, match="budget is"):
        choose_by_budget([1.0], budget)


def test_questions_are_spread_over_images() -> None:
    given, images = [8.0, 6.0, 5.0, 3.0, 4.0], ["a", "a", "b", "b", "a"]
    assert spread_over_images(given, images, 1.0) == given
    assert spread_over_images(given, images, 0.5) == [8.0, 3.0, 5.0, 1.5, 1.0]
    assert choose_by_budget(spread_over_images(given, images, 0.5), 0.4) == [0, 2]


@pytest.mark.parametrize("discount", [0.0, -0.5, 1.5])
def test_a_discount_out_of_range_is_refused(discount: float) -> None:
    with pytest.raises(ValueError, match="image_discount"):
        spread_over_images([], [], discount)
