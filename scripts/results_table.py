"""Average the comparisons of several seeds, as a table in Markdown.

python -m scripts.results_table runs/vnc-lucchi-s0 runs/vnc-lucchi-s1
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bundle.errors import MendableError
from bundle.json_files import read_json
from bundle.metrics import SCORES

COST = ("judgements", "annotation_seconds")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(
        prog="python -m scripts.results_table", description=(__doc__ or "").split("\n")[0]
    )
    options.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="output folders of python -m scripts.compare"
    )
    return options


def read_runs(folders: Sequence[Path]) -> pd.DataFrame:
    """Read the results of ``python -m scripts.compare``.

    Args:
        folders: of comparisons.

    Returns:
        A row for each pair, seed, row of the comparison and mode, with its metrics; rows that learn from preferences
        have ``judgements`` and ``annotation_seconds`` too.

    Raises:
        DataError: a folder has no ``metrics.json``.
    """
    records = []
    for folder in folders:
        run = read_json(folder / "metrics.json")
        pair = f"{run['source']} -> {run['target']}"
        for row, modes in run["rows"].items():
            cost = {name: modes.get(name) for name in COST}
            for mode, means in modes.items():
                if isinstance(means, dict):
                    records.append({"pair": pair, "row": row, "mode": mode, "seed": run["seed"], **means, **cost})
    return pd.DataFrame(records)


def format_runs(runs: pd.DataFrame) -> str:
    """Write a table for each pair.

    Args:
        runs: of :func:`read_runs`.

    Returns:
        Markdown. Each number is the mean over seeds; Dice is followed by that of each seed. What an annotator gave
        stands in the first line of a row.
    """
    parts = []
    others = SCORES[1:]  # Dice stands before, with its seeds
    titles = " | ".join({"iou": "IoU"}.get(name, name.upper()) for name in others)
    for pair, of_pair in runs.groupby("pair", sort=False):
        seeds = sorted(of_pair["seed"].unique())
        lines = [
            f"### {pair}, seeds {', '.join(map(str, seeds))}",
            "",
            f"| row | mode | Dice | each seed | {titles} | judgements | a person's minutes |",
            "| --- " * (6 + len(others)) + "|",
        ]
        told = set()
        for (row, mode), group in of_pair.groupby(["row", "mode"], sort=False):
            mean = group[list(SCORES)].mean()
            each = " / ".join(f"{value:.3f}" for value in group.sort_values("seed")["dice"])
            rest = " | ".join(f"{mean[metric]:.3f}" for metric in others)
            judgements, seconds = group[list(COST)].astype(float).mean()
            cost = f"{judgements:.0f} | {seconds / 60:.0f}" if row not in told and judgements > 0 else " | "
            told.add(row)
            lines.append(f"| {row} | {mode} | {mean['dice']:.3f} | {each} | {rest} | {cost} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def main(arguments: list[str] | None = None) -> int:
    """Run the program.

    Args:
        arguments: command line; default that of the process.

    Returns:
        Exit status: 0, or 2 when a folder cannot be used.
    """
    try:
        print(format_runs(read_runs(parser().parse_args(arguments).runs)))
    except MendableError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
