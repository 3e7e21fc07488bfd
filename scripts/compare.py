"""Run the whole way on a pair of domains and compare: train on the source, adapt with points, learn from preferences.

Without --data two synthetic domains are made. Every cell (a prepared domain, a trained network, an evaluation) is kept
in the output folder; the same command run again goes on with what is missing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from monai.bundle import ConfigParser

from bundle.atomic import make_folder
from bundle.data.published import TASKS_PIXEL_SIZE
from bundle.errors import MendableError, SettingError
from bundle.json_files import read_json, write_json
from scripts.comparison.cells import CellError, Cells, stopwatch
from scripts.comparison.comparison import PIXEL_SIZES, Comparison
from scripts.comparison.curves import EXPERIMENT, read_curves
from scripts.comparison.figures import draw_curves, draw_minutes
from scripts.comparison.noise_figure import write_noise_figure
from scripts.comparison.preference_rows import ABLATION, NOISE, PREFERENCES, STUDY
from scripts.comparison.report import Row, write_overview, write_report
from scripts.comparison.seeds import over_seeds

TASKS = Path("configs/tasks")

NOISE_ROWS = {"wda_15", "wda_15+image_dpo", "wda_15+lpo", *(f"wda_15+lpo@{noise:g}" for noise in NOISE)}
"""What the figure of annotators that err is drawn of."""


def task_domains(task: str) -> tuple[str, str]:
    """Names of the source and the target of a task: those of the folders that its configuration names.

    Args:
        task: name of a file of ``configs/tasks``, without its suffix.

    Raises:
        SettingError: there is none, or it names no folders.
    """
    named = {path.stem: read_json(path) for path in sorted(TASKS.glob("*.json"))}
    tasks = {name: config for name, config in named.items() if {"source_dir", "dataset_dir"} <= config.keys()}
    if task not in tasks:
        raise SettingError(f"--task {task}: expected one of {', '.join(tasks)}")
    parser = ConfigParser({"bundle_root": ".", **tasks[task]})
    source, target = (Path(parser.get_parsed_content(name)).name for name in ("source_dir", "dataset_dir"))
    return source, target


def write_metrics(folder: Path, comparison: Comparison, rows: list[Row], **about: object) -> None:
    """Write ``metrics.json``: source, target, what else is said of the comparison, and the rows."""
    found = {row.name: measured(row) for row in rows}
    pair = {"source": comparison.source, "target": comparison.target}
    write_json(folder / "metrics.json", {**pair, **about, "rows": found})


def measured(row: Row) -> dict[str, Any]:
    """A row as ``metrics.json`` has it; ``spread`` of several seeds only."""
    given = {**row.means, **row.cost, "minutes": round(row.time.minutes, 2)}
    return {**given, "spread": row.spread} if row.spread else given


def format_table(rows: list[Row]) -> str:
    """The rows as text, a line for each row and mode; the judgements stand in the first line of a row."""
    width = max(len(row.name) for row in rows) + 2
    metrics = list(next(iter(rows[0].means.values())))
    lines = [f"{'':{width}}{'mode':14}" + "".join(f"{m:>10}" for m in metrics) + f"{'judgements':>12}{'seconds':>9}"]
    for row in rows:
        cost = f"{row.cost['judgements']:12.0f}{row.cost['annotation_seconds']:9.0f}" if row.cost else ""
        for mode, means in row.means.items():
            lines.append(f"{row.name:{width}}{mode:14}" + "".join(f"{means[m]:10.3f}" for m in metrics) + cost)
            cost = ""
    return "\n".join(lines)


def open_tracking(uri: str, run: Path) -> None:
    """Make MLflow's database and its experiment before cells open them side by side."""
    make_folder(run)
    client = MlflowClient(uri)
    if client.get_experiment_by_name(EXPERIMENT) is None:
        client.create_experiment(EXPERIMENT, str(run / "mlruns") if uri.startswith("sqlite:") else None)


def add_seconds(path: Path, seconds: float) -> float:
    """Add to the ``seconds`` in a metrics file, which is made if need be; so those of an interrupted run count too.

    Returns:
        The sum.
    """
    before: dict[str, Any] = read_json(path) if path.is_file() else {"rows": {}, "seconds": 0.0}
    total = round(float(before["seconds"]) + seconds, 1)
    make_folder(path.parent)
    write_json(path, {**before, "seconds": total})
    return total


def draw_noise(run: Path, rows: list[Row]) -> Path:
    """Draw ``noise.png`` of a study: Dice of LPO against the annotator's noise."""
    dice = {row.name: row.means["automatic"]["dice"] for row in rows}
    by_noise = {0.0: dice["wda_15+lpo"], **{noise: dice[f"wda_15+lpo@{noise:g}"] for noise in NOISE}}
    lines = {name: dice[name] for name in ("wda_15+image_dpo", "wda_15")}
    return write_noise_figure(run / "noise.png", by_noise, lines)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(prog="python -m scripts.compare", description=(__doc__ or "").split("\n")[0])
    add = options.add_argument
    add("--data", type=Path, help="folder of the domains, each with train/ and test/ (default: synthetic domains)")
    add("--task", help="one of configs/tasks that names source and target; --data then has their archives as published")
    add("--source", default=None, help="name of the source domain, or synthetic (default: synthetic-a)")
    add("--target", default=None, help="name of the target domain (default: synthetic-b)")
    add("--source-pixel-size", type=float, help="nm per pixel of the source's files (default: known, or as they tell)")
    add("--target-pixel-size", type=float, help="nm per pixel of the target's files")
    add(
        "--pixel-size",
        type=float,
        help=f"nm per pixel to work at (default: 20, of a task {TASKS_PIXEL_SIZE:g})",
    )
    add("--run", type=Path, default=Path("runs/comparison"), help="output folder (default: runs/comparison)")
    add("--weights", type=Path, help="network of the row source_only (default: it is trained on the source)")
    add("--init", type=Path, help="weights that trainings on one domain alone start from (default: random ones)")
    add("--schedule", type=Path, help="configuration behind the preset, of how long to train and at what rate")
    add("--split", default="test", help="of the target, to score on (default: test; validation to choose settings by)")
    add("--rows", nargs="+", metavar="ROW", help="rows to make, and what they need (default: all)")
    add("--domains", type=Path, help="folder of prepared domains and their own networks (default: RUN/domains)")
    seeds = options.add_mutually_exclusive_group()
    seeds.add_argument("--seed", type=int, default=0, help="of everything (default: 0)")
    seeds.add_argument(
        "--seeds", type=int, nargs="+", help="several: each in RUN/seedN, the report of their means in RUN"
    )
    add("--tracking-uri", help="MLflow's database or server (default: the database RUN/mlruns.db)")
    add("--jobs", type=int, default=2, help="cells at a time (default: 2)")
    add("--study", action="store_true", help="further rows: preferences without adaptation, and annotators that err")
    add("--baselines", action="store_true", help="further rows without this method, see docs/results.md, Baselines")
    add(
        "--ablation",
        action="store_true",
        help="further rows: what teaches in the loss, other questions, rounds, errors",
    )
    return options


def comparison_of(args: argparse.Namespace) -> Comparison:
    """The comparison that a command line asks for, with its first seed.

    Raises:
        SettingError: options contradict each other, or name what is not there.
    """
    if args.task is not None:
        if args.data is None or args.source or args.target:
            raise SettingError("--task has its own source and target; give the folder of their archives, --data")
        source, target = task_domains(args.task)
    elif (args.data is None) == (args.source is None) == (args.target is None):
        source, target = args.source or "synthetic-a", args.target or "synthetic-b"
    else:
        raise SettingError("--data, --source and --target belong together")
    for name in ("weights", "init", "schedule"):
        path: Path | None = getattr(args, name)
        if path is not None and not path.is_file():
            raise SettingError(f"--{name} {path}: no such file")
    pixel_size = args.pixel_size or (20.0 if args.task is None else TASKS_PIXEL_SIZE)
    given = {source: args.source_pixel_size, target: args.target_pixel_size}
    sizes = PIXEL_SIZES if args.data else {source: pixel_size, target: pixel_size}
    overlays = ("presets/cpu.json",) if args.data else ("presets/cpu.json", "tasks/synthetic.json")
    if args.task is not None:
        overlays = ("presets/paper.json", f"tasks/{args.task}.json")
    if args.schedule is not None:
        overlays = (*overlays, str(args.schedule.resolve()))
    seed = (args.seeds or [args.seed])[0]
    run = args.run.resolve()  # absolute, for threads and commands in other folders share these paths
    comparison = Comparison(
        run=run,
        domains=(args.domains or run / "domains").resolve(),
        source=source,
        target=target,
        data=args.data.resolve() if args.data else None,
        pixel_sizes={**sizes, **{name: size for name, size in given.items() if size is not None}},
        pixel_size=pixel_size,
        seed=seed,
        cells=Cells(overlays=overlays, common={"seed": seed}, jobs=args.jobs),
        preferences={**PREFERENCES, **(STUDY if args.study else {}), **(ABLATION if args.ablation else {})},
        baselines=args.baselines,
        weights=args.weights.resolve() if args.weights else None,
        init=args.init.resolve() if args.init else None,
        split=args.split,
        published=args.task is not None,
        tracking_uri=args.tracking_uri or f"sqlite:///{run / 'mlruns.db'}",
    )
    if unknown := [row for row in args.rows or [] if row not in comparison.rows]:
        raise SettingError(f"--rows {unknown[0]}: expected some of {', '.join(comparison.rows)}")
    return replace(comparison, only=args.rows)


def write_results(comparison: Comparison, seeds: Sequence[int], runs: list[list[Row]], seconds: float) -> list[Row]:
    """Write the metrics, figures and report of a comparison; returns its rows, means over the seeds."""
    run, uri = comparison.run, str(comparison.tracking_uri)
    rows = over_seeds(runs)
    if len(seeds) > 1:
        for part, of_seed in zip(comparison.each_of(seeds), runs, strict=True):
            write_metrics(part.run, comparison, of_seed, seed=part.seed)
        write_metrics(run, comparison, rows, seeds=list(seeds), seconds=seconds)
    else:
        write_metrics(run, comparison, rows, seed=seeds[0], seconds=seconds)
    noise = draw_noise(run, rows) if {row.name for row in rows} >= NOISE_ROWS else None
    minutes = draw_minutes(run / "minutes.png", rows)
    groups = comparison.groups()
    found = read_curves(uri, [name for group in groups for name in group], seeds)
    curves = draw_curves(run / "curves.png", found, groups) if found else None
    title = f"{comparison.source} to {comparison.target}"
    write_report(run, title, rows, "wda_15+lpo", noise, minutes, curves)
    write_overview(run, rows, ("source_only", "wda_15", "wda_15+lpo"))
    return rows


def main() -> int:
    """Run the comparison; returns the exit status."""
    args = parser().parse_args()
    try:
        comparison = comparison_of(args)
    except MendableError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    seeds = args.seeds or [args.seed]
    print(f"{comparison.source} -> {comparison.target} in {args.run}", flush=True)
    try:
        open_tracking(str(comparison.tracking_uri), comparison.run)
        with stopwatch() as seconds:
            try:
                runs = [part.execute() for part in comparison.each_of(seeds)]
            finally:
                total = add_seconds(comparison.run / "metrics.json", seconds())
        rows = write_results(comparison, seeds, runs, total)
    except (CellError, MendableError, MlflowException, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"\n{format_table(rows)}\n\n{total:.0f} seconds; pictures: {comparison.run / 'report.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
