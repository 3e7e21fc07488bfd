"""Run the whole way on a pair of domains and compare: train on the source, adapt with points, learn from preferences.

Without --data two synthetic domains are made. Every cell (a prepared domain, a trained network, an evaluation) is kept
in the output folder; the same command run again goes on with what is missing.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from monai.bundle import ConfigParser

from bundle.atomic import make_folder
from bundle.data import domain_pixel_size
from bundle.data.domain_folder import SYNTHETIC
from bundle.data.preparation import Preparation, prepare_domain
from bundle.data.published import TASKS_PIXEL_SIZE
from bundle.data.published_preparation import prepare_published
from bundle.errors import MendableError, SettingError
from bundle.handlers.evaluation_table import METRICS_FILE
from bundle.json_files import read_json, write_json
from bundle.metrics import DETAILS, NATIVE, SCORES
from bundle.synthetic.generator import write_domain
from scripts.comparison.baselines import BASELINES, EVALUATIONS, baseline_time, baseline_trainings
from scripts.comparison.cells import CellError, Cells, Task, stopwatch
from scripts.comparison.curves import EXPERIMENT, read_curves, run_name
from scripts.comparison.figures import draw_curves, draw_minutes
from scripts.comparison.noise_figure import write_noise_figure
from scripts.comparison.person_time import PersonTime, count_clicks
from scripts.comparison.preference_rows import NOISE, PREFERENCES, STUDY, PreferenceRow, in_order, read_cost
from scripts.comparison.report import Row, write_overview, write_report
from scripts.comparison.seeds import over_seeds

PIXEL_SIZES = {"vnc": 4.6, "lucchi-pp": 5.0}
"""Nanometres of public data sets whose files do not tell; other folders need --source-pixel-size and the like."""

TASKS = Path("configs/tasks")

ADAPTATIONS = {"uda": None, "wda_15": "points_15.json", "wda_100": "points_100.json"}


@dataclass
class Comparison:
    """One comparison on a pair of domains.

    Attributes:
        run: output folder.
        domains: folder of prepared domains and of networks trained on one domain alone; pairs may share it.
        source: name of the source domain, or ``synthetic``.
        target: name of the target domain.
        data: folder that holds both, each with ``train/`` and ``test/``; None for synthetic domains.
        pixel_sizes: nanometres of the files of a domain, where they do not tell.
        pixel_size: nanometres to work at.
        seed: of everything.
        cells: runs the commands.
        preferences: the rows that learn from preferences.
        baselines: make the rows of :data:`scripts.comparison.baselines.BASELINES` too.
        weights: the network of ``source_only``; None to train it on the source.
        published: ``data`` has the archives of published data sets of these names, see :mod:`bundle.data.published`.
        tracking_uri: of MLflow, for the trainings and evaluations; None for no tracking.
    """

    run: Path
    domains: Path
    source: str
    target: str
    data: Path | None
    pixel_sizes: dict[str, float]
    pixel_size: float
    seed: int
    cells: Cells
    preferences: dict[str, PreferenceRow] = field(default_factory=lambda: PREFERENCES)
    baselines: bool = False
    weights: Path | None = None
    published: bool = False
    tracking_uri: str | None = None

    def execute(self) -> list[Row]:
        """Make every cell that is missing; returns the rows of the table, in its order."""
        self.cells.run(self.tasks())
        return [self.row(name) for name in self.rows]

    @property
    def rows(self) -> tuple[str, ...]:
        """The rows of the table."""
        every = in_order(("source_only", *ADAPTATIONS, "supervised"), self.preferences)
        return every + (BASELINES if self.baselines else ())

    def each_of(self, seeds: Sequence[int]) -> list[Comparison]:
        """The comparison with each of some seeds; of several, each has a folder of its own in the output folder."""
        return [
            replace(
                self,
                run=self.run / f"seed{seed}" if len(seeds) > 1 else self.run,
                seed=seed,
                cells=replace(self.cells, common={**self.cells.common, "seed": seed}),
            )
            for seed in seeds
        ]

    def groups(self) -> list[list[str]]:
        """The trainings, those of one stage together."""
        return [[f"train on {name}" for name in (self.source, self.target)], list(ADAPTATIONS), list(self.preferences)]

    def tasks(self) -> dict[str, Task]:
        """All cells, each with those that it waits for; what most others wait for comes first."""
        source, target = f"train on {self.source}", f"train on {self.target}"
        trained = {
            "source_only": source,
            "supervised": target,
            **{row: f"adapt {row}" for row in ADAPTATIONS},
            **{row: f"learn preferences {row}" for row in self.preferences},
        }
        tasks = {}
        for name in (self.source, self.target):
            tasks[f"prepare {name}"] = Task(partial(self.prepare, name))
            tasks[f"train on {name}"] = Task(partial(self.train_on, name), [f"prepare {name}"])
        for row in ADAPTATIONS:
            tasks[trained[row]] = Task(partial(self.adapt, row), [source, f"prepare {self.target}"])
        for start in dict.fromkeys(row.start for row in self.preferences.values()):
            after = [trained[start], f"prepare {self.target}"]
            tasks[f"make candidates from {start}"] = Task(partial(self.make_candidates, start), after)
        for row, given in self.preferences.items():
            tasks[trained[row]] = Task(partial(self.prefer, row), [f"make candidates from {given.start}"])
        if self.baselines:
            for row, task in baseline_trainings(self).items():
                trained[row] = f"train {row}"
                tasks[trained[row]] = task
        for row in self.rows:
            after = [trained.get(row, source), f"prepare {self.target}"]
            tasks[f"evaluate {row}"] = Task(partial(self.evaluate, row, **EVALUATIONS.get(row, {})), after)
        return tasks

    def row(self, name: str) -> Row:
        """Read what was measured of a row."""
        cost = read_cost(self._store(name)) if name in self.preferences else {}
        return Row(name, self.run / name, read_means(self.run / name / METRICS_FILE), cost, self.person_time(name))

    def person_time(self, name: str) -> PersonTime:
        """What a person gives to a row: every instance of the target's training split is a mask of ``supervised``."""
        domain = self.domains / self.target / f"seed{self.seed}"
        if name in BASELINES:
            return baseline_time(self, name)
        if name == "supervised":
            return PersonTime(masks=count_clicks(domain, "points_100.json"))
        given = self.preferences.get(name)
        points = ADAPTATIONS.get(given.start if given else name)
        people = given is not None and given.annotator == "oracle"
        votes = int(read_cost(self._store(name))["judgements"]) if people else 0
        return PersonTime(clicks=count_clicks(domain, points) if points else 0, votes=votes)

    def checkpoint(self, row: str) -> Path:
        """The network behind a row of the table."""
        trained = {"source_only": self.source, "histogram_matching": self.source, "supervised": self.target}
        return self._trained(trained[row]) if row in trained else self.run / f"{row}.pt"

    def prepare(self, name: str) -> None:
        """Write the domain folder of a domain, unless it is there, or rendered by whoever reads it.

        Raises:
            SettingError: it is there, but of another pixel size.
        """
        if name == SYNTHETIC:
            return
        folder = self.domains / name / f"seed{self.seed}"
        if (folder / "datalist.json").is_file():
            domain_pixel_size([folder], self.pixel_size, required=True)
            return
        if self.published and self.data:
            options = Preparation(
                output=folder, output_pixel_size=self.pixel_size, points_share=(0.15, 1.0), seed=self.seed
            )
            prepare_published(name, [self.data], options)
            return
        raw = self.data / name if self.data else self.domains / "raw" / name
        if self.data is None:
            shutil.rmtree(raw, ignore_errors=True)
            write_domain(raw, name, seed=self.seed)
        prepare_domain(
            Preparation(
                output=folder,
                name=name,
                data=raw,
                pixel_size=self.pixel_sizes.get(name),
                output_pixel_size=self.pixel_size,
                points_share=(0.15, 1.0),
                seed=self.seed,
            )
        )

    def train_on(self, name: str) -> None:
        """Train on a domain's masks: the source-only row of one direction, the supervised row of the other."""
        self.supervise(self._trained(name), name, f"train on {name}")

    def supervise(
        self, checkpoint: Path, domain: str | Path, name: str, configs: Sequence[str] = ("train.json", "source.json")
    ) -> None:
        """Train on the masks of a domain, by its name, or of a domain folder."""
        self.cells.bundle(
            checkpoint,
            "training",
            configs,
            checkpoint=checkpoint,
            source_dir=domain if isinstance(domain, Path) else self._domain(domain),
            pixel_size=self.pixel_size,
            **self._tracking(name),
        )

    def adapt(self, row: str) -> None:
        """Adapt the source's network to the target."""
        self.cells.bundle(
            self.checkpoint(row),
            "training",
            ("train.json",),
            weights=self.checkpoint("source_only"),
            checkpoint=self.checkpoint(row),
            source_dir=self._domain(self.source),
            dataset_dir=self._domain(self.target),
            points=ADAPTATIONS[row],
            init_checkpoint=self.checkpoint("source_only"),
            **self._tracking(row),
        )

    def make_candidates(self, start: str) -> None:
        """Make the candidates that all rows share which start from the network of this one."""
        store = self._candidates(start).with_suffix(".sqlite")
        self.cells.bundle(
            store,
            "making_candidates",
            ("train.json", "prefer.json", "candidates.json"),
            weights=self.checkpoint(start),
            init_checkpoint=self.checkpoint(start),
            dataset_dir=self._domain(self.target),
            points=ADAPTATIONS.get(start),
            store=store,
            candidates_dir=self._candidates(start),
        )

    def prefer(self, row: str) -> None:
        """Learn from preferences."""
        given = self.preferences[row]
        self.cells.bundle(
            self.checkpoint(row),
            "training",
            ("train.json", "prefer.json"),
            weights=self.checkpoint(given.start),
            checkpoint=self.checkpoint(row),
            dataset_dir=self._domain(self.target),
            points=ADAPTATIONS.get(given.start),
            init_checkpoint=self.checkpoint(given.start),
            method=given.method,
            budget=given.budget,
            annotator=given.annotator,
            noise=given.noise,
            store=self._store(row),
            candidates_dir=self._candidates(given.start),
            pictures_dir=self.run / row,
            **self._tracking(row),
        )

    def evaluate(self, row: str, configs: Sequence[str] = ("train.json", "evaluate.json"), **options: object) -> None:
        """Score a network on the target's test split."""
        self.cells.bundle(
            self.run / row / METRICS_FILE,
            "evaluating",
            configs,
            weights=self.checkpoint(row),
            checkpoint=self.checkpoint(row),
            source_dir=self._domain(self.source),
            dataset_dir=self._domain(self.target),
            **{**self._tracking(f"evaluate {row}"), "output_dir": self.run / row, **options},
        )

    def _tracking(self, name: str) -> dict[str, Any]:
        """Settings of a cell that is recorded; the weights are kept in the output folder anyway."""
        if self.tracking_uri is None:
            return {}
        return {
            "tracking": "mlflow",
            "tracking_uri": self.tracking_uri,
            "experiment_name": EXPERIMENT,
            "parent_run": f"{self.source} to {self.target}, seed {self.seed}",
            "run_name": run_name(name, self.seed),
            "output_dir": self.run / "tracking" / name,
            "log_network": False,
        }

    def _domain(self, name: str) -> Path | str:
        return SYNTHETIC if name == SYNTHETIC else self.domains / name / f"seed{self.seed}"

    def _trained(self, name: str) -> Path:
        if name == self.source and self.weights is not None:
            return self.weights
        return self.domains / name / f"trained-seed{self.seed}.pt"

    def _candidates(self, start: str) -> Path:
        return self.run / "candidates" / start

    def _store(self, row: str) -> Path:
        return self.run / f"{row}.sqlite"


def read_means(path: Path) -> dict[str, dict[str, float]]:
    """The ``mean`` rows of an evaluation table: ``{mode: {metric: value}}``.

    Metrics are `SCORES` and `DETAILS`, and both once more behind `NATIVE` where the table has them.
    """
    table = pd.read_csv(path)
    names = [name for name in table.columns if name.removeprefix(NATIVE) in (*SCORES, *DETAILS)]
    means = table[table["image"] == "mean"].set_index("mode")
    return {str(mode): {metric: float(row[metric]) for metric in names} for mode, row in means.iterrows()}


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
    return options


def main() -> int:
    """Run the comparison; returns the exit status."""
    args = parser().parse_args()
    if args.task is not None:
        if args.data is None or args.source or args.target:
            print(
                "error: --task has its own source and target; give the folder of their archives, --data",
                file=sys.stderr,
            )
            return 2
        try:
            args.source, args.target = task_domains(args.task)
        except MendableError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
    args.pixel_size = args.pixel_size or (20.0 if args.task is None else TASKS_PIXEL_SIZE)
    if (args.data is None) != (args.source is None) or (args.source is None) != (args.target is None):
        print("error: --data, --source and --target belong together", file=sys.stderr)
        return 2
    source, target = args.source or "synthetic-a", args.target or "synthetic-b"
    # Absolute, for threads and commands in other folders share these paths.
    run = args.run.resolve()
    seeds = args.seeds or [args.seed]
    uri = args.tracking_uri or f"sqlite:///{run / 'mlruns.db'}"
    given = {source: args.source_pixel_size, target: args.target_pixel_size}
    overlays = ("presets/cpu.json",) if args.data else ("presets/cpu.json", "tasks/synthetic.json")
    if args.task is not None:
        overlays = ("presets/paper.json", f"tasks/{args.task}.json")
    sizes = PIXEL_SIZES if args.data else {source: args.pixel_size, target: args.pixel_size}
    comparison = Comparison(
        run=run,
        domains=(args.domains or run / "domains").resolve(),
        source=source,
        target=target,
        data=args.data.resolve() if args.data else None,
        pixel_sizes={**sizes, **{name: size for name, size in given.items() if size is not None}},
        pixel_size=args.pixel_size,
        seed=seeds[0],
        cells=Cells(
            overlays=overlays,
            common={"seed": seeds[0]},
            jobs=args.jobs,
        ),
        preferences={**PREFERENCES, **(STUDY if args.study else {})},
        baselines=args.baselines,
        weights=args.weights.resolve() if args.weights else None,
        published=args.task is not None,
        tracking_uri=uri,
    )
    if comparison.weights is not None and not comparison.weights.is_file():
        print(f"error: --weights {args.weights}: no such file", file=sys.stderr)
        return 2
    print(f"{source} -> {target} in {args.run}", flush=True)
    try:
        open_tracking(uri, run)
        with stopwatch() as seconds:
            try:
                parts = comparison.each_of(seeds)
                runs = [part.execute() for part in parts]
            finally:
                total = add_seconds(run / "metrics.json", seconds())
        rows = over_seeds(runs)
        if len(seeds) > 1:
            for part, of_seed in zip(parts, runs, strict=True):
                write_metrics(part.run, comparison, of_seed, seed=part.seed)
            write_metrics(run, comparison, rows, seeds=seeds, seconds=total)
        else:
            write_metrics(run, comparison, rows, seed=seeds[0], seconds=total)
        noise = draw_noise(run, rows) if args.study else None
        minutes = draw_minutes(run / "minutes.png", rows)
        groups = comparison.groups()
        found = read_curves(uri, [name for group in groups for name in group], seeds)
        curves = draw_curves(run / "curves.png", found, groups) if found else None
        report = write_report(run, f"{source} to {target}", rows, "wda_15+lpo", noise, minutes, curves)
        write_overview(run, rows, ("source_only", "wda_15", "wda_15+lpo"))
    except (CellError, MendableError, MlflowException, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"\n{format_table(rows)}\n\n{total:.0f} seconds; pictures: {report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
