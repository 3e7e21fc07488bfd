"""Scores of masks against labels, and a health report where there are no labels."""

from bundle.metrics.aji import compute_aji, compute_pq
from bundle.metrics.health import compare_shapes, describe_image, describe_instances
from bundle.metrics.instances import label_instances
from bundle.metrics.measurements import measure_instances
from bundle.metrics.segmentation import SCORES, segmentation_scores

__all__ = [
    "SCORES",
    "compare_shapes",
    "compute_aji",
    "compute_pq",
    "describe_image",
    "describe_instances",
    "label_instances",
    "measure_instances",
    "segmentation_scores",
]
