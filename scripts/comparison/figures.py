"""The figures of a comparison's report: Dice against a person's minutes, and learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from bundle.atomic import replacing
from scripts.comparison.curves import METRICS, Curve, mean_curve
from scripts.comparison.report import Row

# Okabe and Ito's palette, which colour-blind people can tell apart; shapes tell the kinds apart without it.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
KINDS = {
    "nothing": ("#000000", "x"),
    "points": ("#e69f00", "o"),
    "votes": ("#cc79a7", "v"),
    "both": ("#0072b2", "D"),
    "masks": ("#d55e00", "s"),
}
CALLED = {"both": "points and votes", "masks": "masks (bar: down to half the time)"}


def draw_minutes(path: Path, rows: Sequence[Row]) -> Path:
    """Draw automatic Dice against a person's minutes, with the standard deviation over seeds.

    Args:
        path: PNG file.
        rows: of the table.

    Returns:
        The path.
    """
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    for kind, (colour, marker) in KINDS.items():
        found = [row for row in rows if row.time.kind == kind]
        for place, row in enumerate(found):
            dice = row.means["automatic"]["dice"]
            ax.errorbar(
                row.time.minutes,
                dice,
                yerr=row.spread["automatic"]["dice"] if row.spread else None,
                xerr=np.array([[row.time.minutes - row.time.cautious_minutes], [0]]) if row.time.masks else None,
                color=colour,
                marker=marker,
                linestyle="none",
                capsize=3,
                label=CALLED.get(kind, kind) if place == 0 else None,
            )
            ax.annotate(row.name, (row.time.minutes, dice), (6, 5), textcoords="offset points", fontsize=8)
    ax.set_xscale("symlog", linthresh=1)
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.set_xlim(left=-0.1, right=3 * max(1.0, *(row.time.minutes for row in rows)))
    ax.set_xlabel("a person's minutes (2 s a click, 3 s a vote, 79 s a mask)")
    ax.set_ylabel("Dice, automatic")
    ax.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=len(KINDS))
    return _written(figure, path)


def draw_curves(
    path: Path, curves: Mapping[str, Mapping[str, Sequence[Curve]]], groups: Sequence[Sequence[str]]
) -> Path:
    """Draw learning curves: a panel for each metric and group of rows, since losses of different stages do not compare.

    Args:
        path: PNG file.
        curves: of :func:`scripts.comparison.curves.read_curves`.
        groups: rows that share a panel; those without curves are left out.

    Returns:
        The path.
    """
    panels = [(metric, [row for row in group if row in of]) for metric, of in curves.items() for group in groups]
    panels = [(metric, group) for metric, group in panels if group]
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(4 * columns, 3.6 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(lines, columns, squeeze=False).flat
    for (metric, group), ax in zip(panels, axes, strict=False):
        for row, colour in zip(group, COLOURS * len(group), strict=False):
            steps, mean, spread = mean_curve(curves[metric][row])
            ax.plot(steps, mean, color=colour, label=row)
            ax.fill_between(steps, mean - spread, mean + spread, color=colour, alpha=0.2, linewidth=0)
        ax.set_xlabel("step" if metric == "loss" else "epoch")
        ax.set_ylabel(METRICS[metric])
        ax.legend(fontsize=8)
        ax.grid(alpha=0.3)
    for ax in list(axes):
        ax.set_axis_off()
    return _written(figure, path)


def _written(figure: Figure, path: Path) -> Path:
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=110)
    return path
