"""The figure of what annotators' errors cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bundle.atomic import replacing


def write_noise_figure(path: Path, by_noise: Mapping[float, float], lines: Mapping[str, float]) -> Path:
    """Draw automatic Dice against the annotator's noise.

    Args:
        path: PNG file.
        by_noise: Dice after local preference optimisation for each probability of an error.
        lines: Dice of rows without noise, by their names.

    Returns:
        The path.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    # Okabe and Ito's palette, which colour-blind people can tell apart.
    ax.plot(*zip(*sorted(by_noise.items()), strict=True), marker="o", color="#0072b2", label="lpo")
    for (name, dice), style, colour in zip(lines.items(), ("--", ":"), ("#d55e00", "#000000"), strict=True):
        ax.axhline(dice, linestyle=style, color=colour, label=name)
    ax.set_xlabel("probability of a wrong judgement")
    ax.set_ylabel("Dice, automatic")
    ax.set_xticks(sorted(by_noise))
    figure.legend(loc="outside upper center", ncols=3)
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=120)
    return path
