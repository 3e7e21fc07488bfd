"""The four scores of the paper's tables, for each image: Dice, Jaccard (IoU), AJI and PQ; and precision and recall."""

from __future__ import annotations

import torch
from monai.metrics import compute_confusion_matrix_metric, compute_dice, compute_iou, get_confusion_matrix

from bundle.metrics.aji import compute_aji, compute_pq
from bundle.metrics.instances import label_instances

SCORES = ("dice", "iou", "aji", "pq")
"""Names of the scores, in the order of every table."""
DETAILS = ("precision", "recall")
"""Of pixels, beside Dice, their harmonic mean: what of the prediction is true, and what of the truth is predicted."""
NATIVE = "native_"
"""Before the names of scores on the grid that an image had before it was resampled."""


def segmentation_scores(
    pred: torch.Tensor, truth: torch.Tensor, min_size: float = 15, connectivity: int = 8
) -> dict[str, float]:
    """Score one predicted mask.

    Instances are the connected components of the masks. Components of the prediction of ``min_size`` pixels or fewer
    are dropped before any of the scores, as the post-transforms do; the truth is taken as it is. An image with
    neither truth nor prediction scores 1, with only one of them 0.

    Args:
        pred: predicted mask (1,H,W), above 0 is foreground.
        truth: true mask (1,H,W), above 0 is foreground.
        min_size: the largest size, in pixels, of a predicted component that is dropped.
        connectivity: 4 or 8 neighbours make a component.

    Returns:
        `SCORES` and `DETAILS`, each in [0,1].

    Raises:
        ValueError: if the masks are not of one shape (1,H,W).
        SettingError: if connectivity is neither 4 nor 8.
    """
    if pred.shape != truth.shape:
        raise ValueError(
            f"the prediction has shape {tuple(pred.shape)} and the label {tuple(truth.shape)}; "
            "bring both to the grid of the image, e.g. with Invertd."
        )
    pred_instances = label_instances(pred, min_size, connectivity)
    true_instances = label_instances(truth, 0, connectivity)
    pred_mask, true_mask = (torch.from_numpy(i > 0).float()[None] for i in (pred_instances, true_instances))
    return {
        "dice": compute_dice(pred_mask, true_mask, ignore_empty=False).item(),
        "iou": compute_iou(pred_mask, true_mask, ignore_empty=False).item(),
        "aji": compute_aji(pred_instances, true_instances),
        "pq": compute_pq(pred_instances, true_instances),
        **_details(pred_mask, true_mask),
    }


def _details(pred: torch.Tensor, truth: torch.Tensor) -> dict[str, float]:
    """Precision and recall of masks (1,H,W) of 0 and 1. One without a denominator is 1 if both are empty, else 0."""
    counts = get_confusion_matrix(pred[None], truth[None])
    empty = float(not pred.any() and not truth.any())
    return {name: compute_confusion_matrix_metric(name, counts).nan_to_num(nan=empty).item() for name in DETAILS}
