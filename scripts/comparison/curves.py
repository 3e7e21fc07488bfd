"""Learning curves of a comparison, as its trainings logged them to MLflow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mlflow import MlflowClient

EXPERIMENT = "prefer-das"

METRICS = {"loss": "loss", "val_mean_dice": "Dice on the validation split"}
"""Curves that are drawn, and what they are called."""

BINS = 40
"""Points of a curve at most; the values between two are averaged."""

Curve = tuple[np.ndarray, np.ndarray]
"""Steps and values, float64."""


def run_name(row: str, seed: int) -> str:
    """Name of the run of a training of a comparison."""
    return f"{row}, seed {seed}"


def read_curves(tracking_uri: str, rows: Sequence[str], seeds: Sequence[int]) -> dict[str, dict[str, list[Curve]]]:
    """Read the curves of trainings.

    Args:
        tracking_uri: database or server.
        rows: names of trainings.
        seeds: of the comparison.

    Returns:
        ``{metric: {row: [curve of each seed]}}``; what was not logged is absent. Of several runs of a name the newest
        counts.
    """
    client = MlflowClient(tracking_uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return {}
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    by_name = {run.info.run_name: run.info.run_id for run in runs}
    found: dict[str, dict[str, list[Curve]]] = {}
    for metric in METRICS:
        for row in rows:
            for seed in seeds:
                run_id = by_name.get(run_name(row, seed))
                history = client.get_metric_history(run_id, metric) if run_id else []
                if history:
                    points = sorted((point.step, point.value) for point in history)
                    found.setdefault(metric, {}).setdefault(row, []).append(_binned(np.array(points, float)))
    return found


def mean_curve(curves: Sequence[Curve]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps, mean and sample standard deviation over the curves of several seeds, as far as all of them go."""
    length = min(len(steps) for steps, _ in curves)
    values = np.stack([values[:length] for _, values in curves])
    spread = values.std(axis=0, ddof=1) if len(curves) > 1 else np.zeros(length)
    return curves[0][0][:length], values.mean(axis=0), spread


def _binned(points: np.ndarray) -> Curve:
    parts = np.array_split(points, min(BINS, len(points)))
    return np.array([part[-1, 0] for part in parts]), np.array([part[:, 1].mean() for part in parts])
