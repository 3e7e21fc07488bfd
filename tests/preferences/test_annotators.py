import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from bundle.preferences.annotators import (
    Annotator,
    ContourAnnotator,
    OracleAnnotator,
    RegionView,
)
from bundle.preferences.candidates.comparison import regional_dice

RANDOM = np.random.default_rng(0)
TRUTH = RANDOM.random((16, 12)) < 0.5
# four candidates that are wrong at 40, 10, 20 and 30 % of the pixels, and copies of two of them
CANDIDATES = np.stack([TRUTH ^ (RANDOM.random(TRUTH.shape) < share) for share in (0.4, 0.1, 0.2, 0.3)])
CANDIDATES = np.concatenate((CANDIDATES, CANDIDATES[1:3]))
EVERYWHERE = np.ones_like(TRUTH)
VIEW = RegionView(TRUTH.astype(float), CANDIDATES, EVERYWHERE, TRUTH, "question")


def choices(annotator: Annotator, count: int, view: RegionView = VIEW) -> Counter:
    return Counter(annotator.judge(replace(view, key=str(i))) for i in range(count))


def within(share: float, expected: float, count: int) -> bool:
    return abs(share - expected) < 3 * math.sqrt(expected * (1 - expected) / count)


def test_oracle_without_faults_finds_the_best_of_every_region() -> None:
    candidates = np.zeros((3, *TRUTH.shape), dtype=bool)
    for number in range(3):
        candidates[number] = ~TRUTH
        candidates[number, 4 * number : 4 * number + 4] = TRUTH[4 * number : 4 * number + 4]
    for number in range(3):
        region = np.zeros_like(TRUTH)
        region[4 * number : 4 * number + 4] = True
        chosen = OracleAnnotator().judge(replace(VIEW, candidates=candidates, region=region))
        assert chosen == number
        assert type(chosen) is int


def test_with_an_empty_truth_the_smallest_false_positive_wins() -> None:
    candidates = np.zeros((3, *TRUTH.shape), dtype=bool)
    candidates[0, :5], candidates[1, :2], candidates[2, 4:] = True, True, True
    assert OracleAnnotator().judge(replace(VIEW, candidates=candidates, truth=TRUTH & False)) == 1


def test_noise_is_the_share_of_other_choices() -> None:
    found = choices(OracleAnnotator(noise=0.2), 2000)
    assert within(found[1] / 2000, 0.8, 2000)
    # the others alike, and never a copy
    assert set(found) == {0, 1, 2, 3}
    for other in (0, 2, 3):
        assert within(found[other] / 2000, 0.2 / 3, 2000)


def test_noise_of_one_is_never_right() -> None:
    assert 1 not in choices(OracleAnnotator(noise=1.0), 100)


def test_share_of_questions_without_a_choice() -> None:
    found = choices(OracleAnnotator(abstain=0.3), 2000)
    assert within(found["skip"] / 2000, 0.3, 2000)
    assert set(found) == {1, "skip"}


def test_tie_where_the_two_best_are_close() -> None:
    first, second = sorted(regional_dice(CANDIDATES[:4], TRUTH, EVERYWHERE))[:-3:-1]
    lead = first - second
    assert OracleAnnotator(tie_margin=1.01 * lead).judge(VIEW) == "tie"
    assert OracleAnnotator(tie_margin=0.99 * lead).judge(VIEW) == 1


def test_equally_good_masks_are_no_tie_without_a_margin() -> None:
    candidates = np.stack((~TRUTH, TRUTH, TRUTH))
    first, second = np.argwhere(TRUTH)[:2]
    candidates[1][tuple(first)] = candidates[2][tuple(second)] = False
    view = replace(VIEW, candidates=candidates)
    assert OracleAnnotator().judge(view) == 1
    assert OracleAnnotator(tie_margin=1e-9).judge(view) == "tie"


def test_none_of_these_where_the_best_is_not_good_enough() -> None:
    best = regional_dice(CANDIDATES, TRUTH, EVERYWHERE).max()
    assert choices(OracleAnnotator(none_below=1.01 * best), 20) == {"none": 20}
    assert choices(OracleAnnotator(none_below=0.99 * best), 20) == {1: 20}
    copies = replace(VIEW, candidates=CANDIDATES[[0, 0]])
    assert OracleAnnotator(none_below=1.01 * best).judge(copies) == "none"


def test_who_errs_picks_one_of_those_that_will_not_do() -> None:
    found = choices(OracleAnnotator(noise=0.2, none_below=1.0), 2000)
    assert set(found) == {"none", 0, 1, 2, 3}
    assert within(found["none"] / 2000, 0.8, 2000)


def test_a_threshold_of_zero_changes_no_judgement() -> None:
    faults = {"noise": 0.5, "abstain": 0.3}
    assert choices(OracleAnnotator(**faults), 200) == choices(OracleAnnotator(**faults, none_below=1e-9), 200)


def test_copies_only_are_a_tie() -> None:
    view = replace(VIEW, candidates=np.stack((TRUTH, TRUTH)))
    assert choices(OracleAnnotator(noise=0.5), 10, view) == {"tie": 10}


def test_order_of_questions_does_not_matter() -> None:
    def ask(keys: list[str], seed: int = 0) -> dict[str, object]:
        oracle = OracleAnnotator(noise=0.5, abstain=0.3, seed=seed)
        return {key: oracle.judge(replace(VIEW, key=key)) for key in keys}

    keys = [f"question {i}" for i in range(50)]
    assert ask(keys) == ask(keys[::-1])
    assert ask(keys) != ask(keys, seed=1)


def test_oracle_needs_the_truth() -> None:
    with pytest.raises(ValueError, match="needs the truth"):
        OracleAnnotator().judge(replace(VIEW, truth=None))


def test_names_tell_apart_who_may_judge_differently() -> None:
    assert OracleAnnotator().name == "oracle:noise=0"
    assert OracleAnnotator(seed=3).name == "oracle:noise=0"
    assert OracleAnnotator(noise=0.2).name == "oracle:noise=0.2"
    assert OracleAnnotator(none_below=0.4).name == "oracle:noise=0,none_below=0.4"
    everything = OracleAnnotator(noise=0.2, tie_margin=0.01, abstain=0.1, seed=3)
    assert everything.name == "oracle:noise=0.2,tie_margin=0.01,abstain=0.1,seed=3"
    assert ContourAnnotator(reach=3).name == "evolution:geodesic,reach=3,margin=0.3,second_opinion"
    assert OracleAnnotator(seconds=5).seconds == 5 and ContourAnnotator().seconds == 0


@pytest.mark.parametrize(
    "setting", [{"noise": 1.1}, {"noise": float("nan")}, {"abstain": -0.1}, {"tie_margin": -1}, {"seed": -1}]
)
def test_numbers_out_of_range(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(setting))} of the oracle is"):
        OracleAnnotator(**setting)


def disc(radius: float) -> np.ndarray:
    x, y = np.ogrid[:64, :64]
    return (x - 24) ** 2 + (y - 28) ** 2 <= radius**2


SECTION = np.random.default_rng(0).normal(0, 0.2, (64, 64)) - disc(11)


def contour_view(*radii: float, truth: np.ndarray | None = None) -> RegionView:
    candidates = np.stack([disc(radius) for radius in radii])
    region = np.zeros((64, 64), dtype=bool)
    region[:32, :32] = True
    return RegionView(SECTION, candidates, region, truth, "question")


def contours(**settings) -> ContourAnnotator:
    """Edges alone, which these discs have clearly enough for small margins."""
    return ContourAnnotator(**{"method": "chan_vese", "margin": 0.05, "second_opinion": False, **settings})


def test_edges_of_the_image_choose_the_candidate() -> None:
    annotator = contours()
    assert annotator.judge(contour_view(13.5, 11, 8)) == 1
    assert annotator.judge(contour_view(13.5, 8, 11)) == 2
    assert annotator.judge(contour_view(11, 8, 13.5)) == 0
    assert type(annotator.judge(contour_view(13.5, 11, 8))) is int


@pytest.mark.parametrize(("radii", "chosen"), [((13.5, 11, 11), 1), ((13.5, 11, 13.4), "skip"), ((13.5, 11, 5), 1)])
def test_a_second_opinion_denies_what_the_majority_finds_worse(radii, chosen) -> None:
    assert contours().judge(contour_view(*radii)) == 1
    assert contours(second_opinion=True).judge(contour_view(*radii)) == chosen


def test_contours_do_not_look_at_the_truth() -> None:
    assert contours().judge(contour_view(13.5, 11, 8, truth=disc(8))) == 1


def test_contours_skip_what_makes_little_difference() -> None:
    view = contour_view(13.5, 11)
    scores = regional_dice(view.candidates, contours().opinions(SECTION, view.candidates)[0], view.region)
    difference = scores.max() - scores.min()
    assert contours(margin=0.99 * difference).judge(view) == 1
    assert contours(margin=1.01 * difference).judge(view) == "skip"
    assert contours(margin=0).judge(contour_view(13.5, 13.5)) == "skip"


def test_contours_skip_where_the_model_predicts_nothing() -> None:
    view = contour_view(0, 11, 13.5)
    view.candidates[0] = False
    assert contours().judge(view) == "skip"
    # the disc is predicted, but far from this region
    far = np.zeros((64, 64), dtype=bool)
    far[48:, 48:] = True
    view = replace(contour_view(13.5, 11), region=far)
    view.candidates[1][50:60, 50:60] = True
    assert contours().judge(view) == "skip"


def test_a_region_that_the_contour_left_is_judged() -> None:
    ring = disc(14.5) & ~disc(13)
    view = replace(contour_view(14.5, 11), region=ring)
    assert not (contours().opinions(SECTION, view.candidates)[0] & ring).any()
    assert contours().judge(view) == 1


def test_an_image_is_evolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def evolve(image: np.ndarray, mask: np.ndarray, *settings: object) -> np.ndarray:
        calls.append(mask)
        return mask

    monkeypatch.setattr("bundle.preferences.annotators.evolve_mask", evolve)
    annotator = contours()
    for view in (contour_view(11, 8), contour_view(8, 11)):
        annotator.judge(view)
        annotator.judge(replace(view, region=~view.region))
    assert len(calls) == 2
    annotator.judge(replace(contour_view(8, 11), image=SECTION + 1))
    assert len(calls) == 3


def test_margin_of_contours_is_not_negative() -> None:
    with pytest.raises(ValueError, match="margin of the contour annotator is -1"):
        ContourAnnotator(margin=-1)
