"""The four scores of the paper's tables, for each image: Dice, Jaccard (IoU), AJI and PQ."""

from __future__ import annotations

import torch
from monai.metrics import CumulativeIterationMetric, compute_dice, compute_iou

from bundle.metrics.aji import compute_aji, compute_pq
from bundle.metrics.instances import label_instances

NAMES = ("dice", "iou", "aji", "pq")


def segmentation_scores(
    pred: torch.Tensor, truth: torch.Tensor, min_size: int = 15, connectivity: int = 8
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
        ``dice``, ``iou``, ``aji`` and ``pq``, each in [0,1].

    Raises:
        ValueError: if the masks are not of one shape (1,H,W), or connectivity is neither 4 nor 8.
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
    }


class SegmentationMetrics(CumulativeIterationMetric):
    """MONAI metric with the four scores; wrap it in ``monai.handlers.IgniteMetricHandler`` for an engine.

    Args:
        metric: one of :attr:`names`: :meth:`aggregate` gives that score alone, a scalar as the key metric of an engine
            and the loggers want it. None: all four.
        min_size: predicted components of this many pixels or fewer are dropped (15 in the evaluation of Prefer-DAS,
            arXiv 2602.19423).
        connectivity: 4 or 8 neighbours make a component.

    Raises:
        ValueError: if ``metric`` is not one of the names.
    """

    names = NAMES

    def __init__(self, metric: str | None = None, min_size: int = 15, connectivity: int = 8) -> None:
        super().__init__()
        if metric is not None and metric not in NAMES:
            raise ValueError(f"metric is {metric!r}; give one of {', '.join(NAMES)}, or None for all of them.")
        self.metric = metric
        self.min_size = min_size
        self.connectivity = connectivity

    def _compute_tensor(  # type: ignore[override]
        self, y_pred: torch.Tensor, y: torch.Tensor
    ) -> torch.Tensor:
        """Score a batch.

        Args:
            y_pred: predicted masks (B,1,H,W).
            y: true masks (B,1,H,W).

        Returns:
            (B,4) float32, the columns in the order of :attr:`names`.
        """
        scores = (segmentation_scores(p, t, self.min_size, self.connectivity) for p, t in zip(y_pred, y, strict=True))
        return torch.tensor([[row[name] for name in NAMES] for row in scores])

    def aggregate(self) -> torch.Tensor:
        """Average over all images since the last reset.

        Returns:
            (4,) in the order of :attr:`names`, or a scalar if one ``metric`` was asked for.

        Raises:
            ValueError: if no image was scored.
        """
        rows = self.get_buffer()
        if rows is None:
            raise ValueError("no image was scored yet; call the metric with predictions and labels first.")
        means = rows.mean(dim=0)
        return means if self.metric is None else means[NAMES.index(self.metric)]
