"""One comparison: its cells, each of which is kept, and the rows of the table that are read from them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from bundle.data import domain_pixel_size
from bundle.data.domain_folder import SYNTHETIC
from bundle.data.preparation import Preparation, prepare_domain
from bundle.data.published_preparation import prepare_published
from bundle.handlers.evaluation_table import METRICS_FILE
from bundle.metrics import DETAILS, NATIVE, SCORES
from bundle.synthetic.generator import write_domain
from scripts.comparison.baselines import BASELINES, EVALUATIONS, baseline_time, baseline_trainings
from scripts.comparison.cells import Cells, Task
from scripts.comparison.curves import EXPERIMENT, run_name
from scripts.comparison.person_time import PersonTime, count_clicks
from scripts.comparison.preference_rows import PREFERENCES, PreferenceRow, in_order, read_cost
from scripts.comparison.report import Row

PIXEL_SIZES = {"vnc": 4.6, "lucchi-pp": 5.0}
"""Nanometres of public data sets whose files do not tell; other folders need --source-pixel-size and the like."""

ALONE = {"source_only": "source", "histogram_matching": "source", "supervised": "target"}
"""Rows of a network that is trained on one domain alone, and which of the two that is."""

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
        init: what the trainings on one domain alone start from; None for random weights.
        split: of the target, on which the rows are scored.
        only: names of the rows to make; None for all.
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
    init: Path | None = None
    split: str = "test"
    only: Sequence[str] | None = None
    published: bool = False
    tracking_uri: str | None = None

    def execute(self) -> list[Row]:
        """Make every cell that is missing; returns what was measured."""
        self.cells.run(self.tasks())
        return self.measured()

    def measured(self) -> list[Row]:
        """Read the rows of the table, in its order."""
        return [self.row(name) for name in self.rows]

    @property
    def rows(self) -> tuple[str, ...]:
        """The rows of the table."""
        every = in_order(("source_only", *ADAPTATIONS, "supervised"), self.preferences)
        every += BASELINES if self.baselines else ()
        return every if self.only is None else tuple(row for row in every if row in self.only)

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
        """The cells of the rows, each with those that it waits for; what most others wait for comes first."""
        source = f"train on {self.source}"
        trained = {
            **{row: f"train on {getattr(self, domain)}" for row, domain in ALONE.items()},
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
            after = [trained[row], f"prepare {self.target}"]
            tasks[f"evaluate {row}"] = Task(partial(self.evaluate, row, **EVALUATIONS.get(row, {})), after)
        needed, found = [f"evaluate {row}" for row in self.rows], set()
        while needed:
            name = needed.pop()
            found.add(name)
            needed += tasks[name].after
        return {name: task for name, task in tasks.items() if name in found}

    def row(self, name: str) -> Row:
        """Read what was measured of a row."""
        cost = read_cost(self._store(name)) if name in self.preferences else {}
        return Row(name, self.run / name, read_means(self.run / name / METRICS_FILE), cost, self.person_time(name))

    def person_time(self, name: str) -> PersonTime:
        """What a person gives to a row: every instance of the target's training split is a mask of ``supervised``."""
        domain = self.folder(self.target)
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
        return self._trained(getattr(self, ALONE[row])) if row in ALONE else self.run / f"{row}.pt"

    def folder(self, name: str) -> Path:
        """The domain folder of a domain."""
        return self.domains / name / f"seed{self.seed}"

    def prepare(self, name: str) -> None:
        """Write the domain folder of a domain, unless it is there, or rendered by whoever reads it.

        Raises:
            SettingError: it is there, but of another pixel size.
        """
        if name == SYNTHETIC:
            return
        folder = self.folder(name)
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
        self.supervise(self._trained(name), self.source_dir(name), f"train on {name}", init=self.init)

    def supervise(
        self,
        checkpoint: Path,
        source_dir: Path | str,
        name: str,
        configs: Sequence[str] = ("train.json", "source.json"),
        init: Path | None = None,
    ) -> None:
        """Train on masks alone."""
        self.cells.bundle(
            checkpoint,
            "training",
            configs,
            weights=init,
            checkpoint=checkpoint,
            source_dir=source_dir,
            pixel_size=self.pixel_size,
            init_checkpoint=init,
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
            source_dir=self.source_dir(self.source),
            dataset_dir=self.source_dir(self.target),
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
            dataset_dir=self.source_dir(self.target),
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
            dataset_dir=self.source_dir(self.target),
            points=ADAPTATIONS.get(given.start),
            init_checkpoint=self.checkpoint(given.start),
            method=given.method,
            budget=given.budget,
            annotator=given.annotator,
            noise=given.noise,
            store=self._store(row),
            candidates_dir=self.run / "candidates" / row if given.rounds else self._candidates(given.start),
            pictures_dir=self.run / row,
            **given.settings,
            **self._tracking(row),
        )

    def evaluate(self, row: str, configs: Sequence[str] = ("train.json", "evaluate.json"), **options: object) -> None:
        """Score a network on the split of the target."""
        self.cells.bundle(
            self.run / row / METRICS_FILE,
            "evaluating",
            configs,
            weights=self.checkpoint(row),
            checkpoint=self.checkpoint(row),
            source_dir=self.source_dir(self.source),
            dataset_dir=self.source_dir(self.target),
            val_split=self.split,
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

    def source_dir(self, name: str) -> Path | str:
        """A domain as configurations name it."""
        return SYNTHETIC if name == SYNTHETIC else self.folder(name)

    def _trained(self, name: str) -> Path:
        if name == self.source and self.weights is not None:
            return self.weights
        start = "" if self.init is None else f"-from-{self.init.stem}"
        return self.domains / name / f"trained{start}-seed{self.seed}.pt"

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
