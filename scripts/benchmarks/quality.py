"""How good the rows of a comparison are, over several pairs of domains and several seeds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bundle.atomic import replacing
from bundle.errors import SettingError
from scripts import compare
from scripts.comparison.cells import CellError, Task, stopwatch
from scripts.comparison.comparison import Comparison
from scripts.results_table import format_runs, read_runs


def add_quality(commands: Any) -> None:
    """Add the subcommand ``quality``."""
    quality = commands.add_parser("quality", help="Dice of all rows of a comparison, pairs and seeds")
    quality.add_argument("--json", type=Path, required=True, metavar="FILE", help="where to write the results")
    quality.add_argument("--pairs", type=_pair, nargs="+", required=True, metavar="SOURCE:TARGET")
    quality.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="(default: 0 1 2)")
    quality.add_argument("--run", type=Path, default=Path("runs/quality"), help="output folder (default: runs/quality)")
    quality.add_argument("options", nargs="*", metavar="-- OPTIONS", help="of python -m scripts.compare, with --data")
    quality.set_defaults(measure=measure_quality, accepted={})


def measure_quality(options: argparse.Namespace) -> dict[str, Any]:
    """Make the comparison of each pair with each seed; what is there already is not made again.

    A network that is trained on one domain alone serves all pairs: it is the source of one and the supervised row of
    another. Each pair has its report in ``run/SOURCE-TARGET``, and ``run/table.md`` is the table of all.

    Args:
        options: ``pairs``, ``seeds``, ``run``, and ``options`` of :mod:`scripts.compare` for all of them.

    Returns:
        For each pair and row ``SOURCE -> TARGET: ROW``, the mean automatic Dice over the seeds; of several seeds also
        ``... sd``, their sample standard deviation. ``seconds``: of this call.

    Raises:
        SettingError: an option is wrong, or a command failed.
    """
    comparisons = [_comparison(options, source, target) for source, target in options.pairs]
    parts = [part for comparison in comparisons for part in comparison.each_of(options.seeds)]
    for comparison in comparisons:
        compare.open_tracking(str(comparison.tracking_uri), comparison.run)
    with stopwatch() as seconds:
        try:
            comparisons[0].cells.run(tasks_of(parts))
        except CellError as error:
            raise SettingError(str(error)) from error
    results: dict[str, Any] = {}
    for comparison in comparisons:
        pair = f"{comparison.source} -> {comparison.target}"
        runs = [part.measured() for part in comparison.each_of(options.seeds)]
        for row in compare.write_results(comparison, options.seeds, runs, seconds()):
            results[f"{pair}: {row.name}"] = row.means["automatic"]["dice"]
            if row.spread:
                results[f"{pair}: {row.name} sd"] = row.spread["automatic"]["dice"]
    with replacing(options.run / "table.md") as partial:
        partial.write_text(format_runs(read_runs([part.run for part in parts])), encoding="utf-8")
    return {**results, "seconds": seconds()}


def tasks_of(parts: list[Comparison]) -> dict[str, Task]:
    """The cells of several comparisons that share a folder of domains, each once.

    Args:
        parts: pairs and seeds.

    Returns:
        Tasks by name; those of the first seed come first.
    """
    tasks: dict[str, Task] = {}
    for part in sorted(parts, key=lambda part: part.seed):
        for name, task in part.tasks().items():
            tasks.setdefault(_named(part, name), Task(task.work, [_named(part, other) for other in task.after]))
    return tasks


def _named(part: Comparison, task: str) -> str:
    """A task among those of all: what is of one domain alone has the same name in all pairs."""
    pair = "" if task.startswith(("prepare ", "train on ")) else f"{part.source} -> {part.target}: "
    return f"seed {part.seed}, {pair}{task}"


def _comparison(options: argparse.Namespace, source: str, target: str) -> Comparison:
    arguments = ["--source", source, "--target", target, "--run", str(options.run / f"{source}-{target}")]
    seeds = ["--seeds", *map(str, options.seeds)]
    domains = ["--domains", str(options.run / "domains")]
    return compare.comparison_of(compare.parser().parse_args([*domains, *options.options, *arguments, *seeds]))


def _pair(text: str) -> tuple[str, str]:
    source, colon, target = text.partition(":")
    if not (source and colon and target):
        raise argparse.ArgumentTypeError(f"{text} is not SOURCE:TARGET")
    return source, target
