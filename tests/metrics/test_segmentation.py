import pytest
import torch

from bundle.metrics.segmentation import DETAILS, SCORES, segmentation_scores


def _mask(*boxes: tuple[int, int, int, int]) -> torch.Tensor:
    mask = torch.zeros(1, 20, 30)
    for x0, y0, x1, y1 in boxes:
        mask[:, x0:x1, y0:y1] = 1
    return mask


EMPTY = _mask()
TRUTH = _mask((0, 0, 5, 10), (10, 0, 15, 10))  # two instances of 50 px
PRED = _mask((0, 0, 5, 6), (10, 20, 15, 30), (18, 0, 20, 5))  # 30 px of the first, 50 px elsewhere, 10 px of dust


def test_worked_by_hand() -> None:
    # Without the dust 80 px are predicted, 100 are true, 30 are both.
    scores = segmentation_scores(PRED, TRUTH, min_size=15)
    assert scores["dice"] == pytest.approx(2 * 30 / 180)
    assert scores["iou"] == pytest.approx(30 / 150)
    assert scores["aji"] == pytest.approx(30 / (50 + 50 + 50))  # first pair, second truth, unused prediction
    assert scores["pq"] == pytest.approx((30 / 50) / (1 + 0.5 + 0.5))
    assert scores["precision"] == pytest.approx(30 / 80)
    assert scores["recall"] == pytest.approx(30 / 100)


def test_dust_counts_when_it_is_kept_and_never_leaves_the_truth() -> None:
    assert segmentation_scores(PRED, TRUTH, min_size=9)["iou"] == pytest.approx(30 / 160)
    # the truth of 10 px stays although the prediction of 10 px goes
    assert segmentation_scores(_mask((0, 0, 2, 5)), _mask((0, 0, 2, 5)), min_size=15)["dice"] == 0.0
    assert segmentation_scores(_mask((0, 0, 2, 5)), _mask((0, 0, 2, 5)), min_size=9)["dice"] == 1.0


@pytest.mark.parametrize(
    ("pred", "truth", "value"),
    [(EMPTY, EMPTY, 1.0), (TRUTH, EMPTY, 0.0), (EMPTY, TRUTH, 0.0), (TRUTH, TRUTH, 1.0), (TRUTH * 255, TRUTH, 1.0)],
)
def test_degenerate_inputs(pred: torch.Tensor, truth: torch.Tensor, value: float) -> None:
    assert set(segmentation_scores(pred, truth).values()) == {value}


def test_connectivity_changes_instances_but_not_pixels() -> None:
    touching = _mask((0, 0, 5, 5), (5, 5, 10, 10))
    first = _mask((0, 0, 5, 5))
    eight, four = (segmentation_scores(first, touching, connectivity=c) for c in (8, 4))
    assert eight["iou"] == four["iou"] == pytest.approx(0.5)
    assert eight["pq"] == 0.0, "one truth of 50 px, IoU 0.5 is not above 0.5"
    assert four["pq"] == pytest.approx(1 / 1.5)


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 19, 30\).*\(1, 20, 30\)"):
        segmentation_scores(PRED[:, 1:], TRUTH)


def test_every_score_has_a_name() -> None:
    assert tuple(segmentation_scores(PRED, TRUTH)) == (*SCORES, *DETAILS)
