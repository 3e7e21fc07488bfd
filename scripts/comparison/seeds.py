"""Rows of several seeds as rows of means with their spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scripts.comparison.report import Row


def over_seeds(runs: Sequence[Sequence[Row]]) -> list[Row]:
    """Put together what was measured with several seeds.

    Args:
        runs: the rows of each seed, the same ones in the same order.

    Returns:
        Rows with the means over the seeds and, of two or more, the sample standard deviation as ``spread``; costs are
        means too. Pictures are those of the first seed.
    """
    return list(runs[0]) if len(runs) == 1 else [_together(rows) for rows in zip(*runs, strict=True)]


def _together(rows: Sequence[Row]) -> Row:
    def over(measure: str, mode: str, metric: str) -> float:
        values = [row.means[mode][metric] for row in rows]
        return float(np.mean(values) if measure == "mean" else np.std(values, ddof=1))

    first = rows[0]
    means, spread = (
        {mode: {metric: over(measure, mode, metric) for metric in found} for mode, found in first.means.items()}
        for measure in ("mean", "spread")
    )
    counts = {name: round(np.mean([getattr(row.time, name) for row in rows])) for name in ("clicks", "votes", "masks")}
    cost = {name: round(float(np.mean([row.cost[name] for row in rows])), 1) for name in first.cost}
    return replace(first, means=means, spread=spread, cost=cost, time=replace(first.time, **counts), seeds=len(rows))
