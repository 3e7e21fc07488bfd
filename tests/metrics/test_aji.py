import numpy as np
import pytest
import torch
from monai.metrics.panoptic_quality import compute_panoptic_quality
from skimage.measure import label

from bundle.metrics.aji import compute_aji, compute_pq

# position     0  1  2  3  4  5  6  7  8  9 10 11 12 13 14
TRUE = np.array([[0, 1, 1, 1, 1, 0, 2, 2, 2, 2, 0, 3, 3, 0, 0]])
PRED = np.array([[1, 1, 1, 1, 2, 0, 0, 0, 3, 3, 3, 0, 0, 4, 4]])
EMPTY = np.zeros_like(TRUE)


def test_worked_by_hand() -> None:
    # T1 (4 px): P1 (4 px) shares 3, IoU 3/5; P2 (1 px) shares 1, IoU 1/4. P1 is taken: 3 of 5.
    # T2 (4 px): P3 (3 px) shares 2, IoU 2/5, taken although below 0.5:                  2 of 5.
    # T3 (2 px): nothing touches it:                                                     0 of 2.
    # P2 (1 px) and P4 (2 px) are never taken:                                           0 of 1 + 2.
    # AJI = (3 + 2) / (5 + 5 + 2 + 3) = 5/15
    assert compute_aji(PRED, TRUE) == pytest.approx(5 / 15)
    # PQ: T1-P1 alone is above 0.5. Unmatched: P2, P3, P4 and T2, T3. 0.6 / (1 + 3/2 + 2/2)
    assert compute_pq(PRED, TRUE) == pytest.approx(0.6 / 3.5)


def test_a_prediction_may_serve_two_truths() -> None:
    true = np.array([[1, 1, 1, 1, 0, 0, 2, 2, 2, 2]])
    # The one prediction of 10 px is taken twice: (4 + 4) / (10 + 10). Taken once it would be 4 / (10 + 4).
    assert compute_aji(np.ones_like(true), true) == pytest.approx(8 / 20)
    assert compute_pq(np.ones_like(true), true) == 0.0


def test_greatest_iou_is_taken_not_greatest_overlap() -> None:
    true = np.array([[0] * 12 + [1] * 5])
    pred = np.array([[1] * 15 + [2] * 2])
    # P1 (15 px) shares 3, IoU 3/17; P2 (2 px) shares 2, IoU 2/5. P2 is taken: 2 / (5 + 15 px of P1)
    assert compute_aji(pred, true) == pytest.approx(2 / 20)


@pytest.mark.parametrize("score", [compute_aji, compute_pq])
def test_degenerate_inputs(score) -> None:
    assert score(EMPTY, EMPTY) == 1.0
    assert score(EMPTY, TRUE) == 0.0
    assert score(PRED, EMPTY) == 0.0
    assert score(TRUE, TRUE) == 1.0
    assert score(TRUE[:, ::-1], np.where(TRUE > 0, 0, TRUE)) == 0.0


@pytest.mark.parametrize("score", [compute_aji, compute_pq])
def test_disjoint_prediction_is_zero(score) -> None:
    assert score(np.array([[0, 0, 1]]), np.array([[1, 0, 0]])) == 0.0


@pytest.mark.parametrize("score", [compute_aji, compute_pq])
def test_instance_numbers_mean_nothing(score) -> None:
    pred, true = _random_instances(seed=3)
    rng = np.random.default_rng(0)
    renumber_pred = np.concatenate([[0], 1 + rng.permutation(1000)])  # permuted and with gaps
    renumber_true = np.concatenate([[0], 1 + rng.permutation(1000)])
    assert score(renumber_pred[pred], renumber_true[true]) == pytest.approx(score(pred, true), rel=1e-12)
    assert 0 < score(pred, true) < 1


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_the_definition_and_with_monai(seed: int) -> None:
    pred, true = _random_instances(seed)
    assert compute_aji(pred, true) == pytest.approx(_aji_by_loops(pred, true))
    monai_pq = compute_panoptic_quality(torch.from_numpy(pred), torch.from_numpy(true))
    assert compute_pq(torch.from_numpy(pred)[None], torch.from_numpy(true)[None]) == pytest.approx(
        monai_pq.item(), abs=1e-5
    )


def test_what_is_no_pair_of_instance_maps_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 14\)"):
        compute_aji(PRED[:, 1:], TRUE)
    with pytest.raises(ValueError, match="float64"):
        compute_pq(PRED, TRUE.astype(float))


def _random_instances(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Blobs, and the same blobs moved, some lost and some invented; sizes differ, so no IoU ties decide."""
    rng = np.random.default_rng(seed)
    true, pred = (np.zeros((61, 83), bool) for _ in range(2))
    for _ in range(25):
        x, y, w, h = rng.integers(0, 50), rng.integers(0, 70), *rng.integers(3, 12, 2)
        true[x : x + w, y : y + h] |= rng.random() < 0.85
        dx, dy, dw = rng.integers(0, 3, 3)
        pred[x + dx : x + w + dw, y + dy : y + h] |= rng.random() < 0.85
    return label(pred), label(true)


def _aji_by_loops(pred: np.ndarray, true: np.ndarray) -> float:
    intersection = union = 0
    taken = set()
    for t in set(true[true > 0]):
        mask = true == t
        candidates = [(p, (mask & (pred == p)).sum(), (mask | (pred == p)).sum()) for p in set(pred[mask]) - {0}]
        if not candidates:
            union += mask.sum()
            continue
        best, shared, together = max(candidates, key=lambda c: c[1] / c[2])
        taken.add(best)
        intersection, union = intersection + shared, union + together
    unused = set(pred[pred > 0]) - taken
    return intersection / (union + sum((pred == p).sum() for p in unused))
