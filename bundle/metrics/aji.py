"""Instance scores: the aggregated Jaccard index and panoptic quality, both from one table of overlaps.

MONAI has no AJI. It has panoptic quality, but builds one full-size mask for each instance, which at 500 instances in
a section of 4096x4096 pixels is tens of gigabytes, and calls two empty images 0; so PQ is computed here as well, and
agrees with MONAI's wherever that one is defined.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from monai.config.type_definitions import NdarrayOrTensor
from monai.utils import convert_to_numpy


@dataclass(frozen=True)
class _Overlaps:
    """Every pair of a true and a predicted instance that share a pixel; areas are indexed by instance number."""

    true_areas: np.ndarray
    pred_areas: np.ndarray
    true: np.ndarray
    pred: np.ndarray
    intersection: np.ndarray

    @property
    def union(self) -> np.ndarray:
        union: np.ndarray = self.true_areas[self.true] + self.pred_areas[self.pred] - self.intersection
        return union

    @property
    def iou(self) -> np.ndarray:
        iou: np.ndarray = self.intersection / self.union
        return iou


def compute_aji(pred_instances: NdarrayOrTensor, true_instances: NdarrayOrTensor) -> float:
    """Aggregated Jaccard index (Kumar et al., IEEE Trans. Med. Imaging 2017), in the form that HoVer-Net made common.

    With j(i) the prediction of greatest IoU with the true instance T_i,

        AJI = sum_i |T_i & P_j(i)| / (sum_i |T_i | P_j(i)| + sum over predictions never taken of |P_k|).

    A prediction may serve several truths; a truth that no prediction touches adds its own area to the union. Of two
    predictions with the same IoU the one with the lower number is taken.

    Args:
        pred_instances: predicted instance numbers, integers >= 0 with 0 background, (H,W) or (1,H,W).
        true_instances: true instance numbers, the same shape.

    Returns:
        A value in [0,1]; 1 if there is neither truth nor prediction, 0 if there is only one of them.

    Raises:
        ValueError: if the shapes differ or an instance map is not integer.
    """
    overlaps = _overlaps(pred_instances, true_instances)
    empty = _score_of_empty(overlaps)
    if empty is not None:
        return empty
    # sorted by truth, then best first: the first row of each truth is its pair
    order = np.lexsort((overlaps.pred, -overlaps.iou, overlaps.true))
    touched, first = np.unique(overlaps.true[order], return_index=True)
    pairs = order[first]
    missed = overlaps.true_areas.sum() - overlaps.true_areas[touched].sum()
    unused = overlaps.pred_areas.sum() - overlaps.pred_areas[np.unique(overlaps.pred[pairs])].sum()
    return float(overlaps.intersection[pairs].sum() / (overlaps.union[pairs].sum() + missed + unused))


def compute_pq(pred_instances: NdarrayOrTensor, true_instances: NdarrayOrTensor) -> float:
    """Panoptic quality (Kirillov et al., CVPR 2019): instances match where their IoU is above 0.5.

        PQ = sum of the IoU of the matches / (matches + unmatched predictions / 2 + unmatched truths / 2)

    Args:
        pred_instances: predicted instance numbers, integers >= 0 with 0 background, (H,W) or (1,H,W).
        true_instances: true instance numbers, the same shape.

    Returns:
        A value in [0,1]; 1 if there is neither truth nor prediction, 0 if there is only one of them.

    Raises:
        ValueError: if the shapes differ or an instance map is not integer.
    """
    overlaps = _overlaps(pred_instances, true_instances)
    empty = _score_of_empty(overlaps)
    if empty is not None:
        return empty
    # matches + half of what is left on either side is half of all instances
    instances = np.count_nonzero(overlaps.true_areas) + np.count_nonzero(overlaps.pred_areas)
    return float(overlaps.iou[overlaps.iou > 0.5].sum() / (instances / 2))


def _overlaps(pred_instances: NdarrayOrTensor, true_instances: NdarrayOrTensor) -> _Overlaps:
    pred, true = convert_to_numpy(pred_instances), convert_to_numpy(true_instances)
    if pred.shape != true.shape:
        raise ValueError(
            f"pred_instances has shape {pred.shape} and true_instances {true.shape}; "
            "bring both to the grid of the image, e.g. with Invertd."
        )
    for name, numbers in (("pred_instances", pred), ("true_instances", true)):
        if not np.issubdtype(numbers.dtype, np.integer):
            raise ValueError(
                f"{name} has type {numbers.dtype}, expected integer instance numbers; label_instances makes them."
            )
    both = (pred > 0) & (true > 0)  # few of the pixels, so sorting them is quick
    width = int(pred.max(initial=0)) + 1
    pairs, intersection = np.unique(true[both].astype(np.int64) * width + pred[both], return_counts=True)
    return _Overlaps(_areas(true), _areas(pred), *np.divmod(pairs, width), intersection)


def _areas(numbers: np.ndarray) -> np.ndarray:
    areas = np.bincount(numbers.ravel(), minlength=1)
    areas[0] = 0  # the background is no instance
    return areas


def _score_of_empty(overlaps: _Overlaps) -> float | None:
    has_truth, has_prediction = overlaps.true_areas.any(), overlaps.pred_areas.any()
    if has_truth and has_prediction:
        return None
    return float(has_truth == has_prediction)
