"""Run the whole way on a pair of domains: train on the source, adapt with 0, 15 and 100 % of the points, compare.

Without --data two synthetic domains are made. Every cell (a prepared domain, a trained network, an evaluation) is kept
in the output folder; the same command run again goes on with what is missing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import pandas as pd  # noqa: E402

from bundle.data.errors import DataError  # noqa: E402
from bundle.data.json_files import read_json, write_json  # noqa: E402
from bundle.data.preparation import Preparation, prepare_domain  # noqa: E402
from bundle.data.synthetic import write_domain  # noqa: E402
from scripts.report import Row, write_overview, write_report  # noqa: E402

PIXEL_SIZES = {"vnc": 4.6, "lucchi-pp": 5.0}
"""Nanometres of public data sets whose files do not tell; other folders need --source-pixel-size and the like."""

ADAPTATIONS = {"uda": None, "wda_15": "points_15.json", "wda_100": "points_100.json"}
METRICS = ("dice", "iou", "aji", "pq")


class CellError(RuntimeError):
    """A command of the bundle failed; the message names its log."""


@dataclass
class Demo:
    """One comparison on a pair of domains.

    Attributes:
        run: output folder.
        domains: folder of prepared domains and of networks trained on one domain alone; pairs may share it.
        source: name of the source domain.
        target: name of the target domain.
        data: folder that holds both, each with ``train/`` and ``test/``; None for synthetic domains.
        pixel_sizes: nanometres of the files of a domain, where they do not tell.
        pixel_size: nanometres to work at.
        seed: of everything.
        jobs: cells at a time; the processor's cores are shared out among them.
        overlay: config of the schedule, below ``configs``.
    """

    run: Path
    domains: Path
    source: str
    target: str
    data: Path | None
    pixel_sizes: dict[str, float]
    pixel_size: float
    seed: int
    jobs: int
    overlay: str

    def execute(self) -> dict[str, dict[str, dict[str, float]]]:
        """Make every cell that is missing; returns ``{row: {mode: {metric: mean}}}``."""
        names = (self.source, self.target)
        self._parallel("prepare", self.prepare, names)
        self._parallel("train on", self.train_on, names)
        self._parallel("adapt", self.adapt, tuple(ADAPTATIONS))
        self._parallel("evaluate", self.evaluate, tuple(self.checkpoints()))
        return {row: read_means(self.run / row / "metrics.csv") for row in self.checkpoints()}

    def checkpoints(self) -> dict[str, Path]:
        """The network behind each row of the table, in the table's order."""
        adapted = {row: self.run / f"{row}.pt" for row in ADAPTATIONS}
        return {"source_only": self._trained(self.source), **adapted, "supervised": self._trained(self.target)}

    def prepare(self, name: str) -> None:
        """Write the domain folder of a domain, unless it is there."""
        folder = self._domain(name)
        if (folder / "datalist.json").is_file():
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
                target_pixel_size=self.pixel_size,
                points_share=(0.15, 1.0),
                seed=self.seed,
            )
        )

    def train_on(self, name: str) -> None:
        """Train on a domain's masks: the source-only row of one direction, the supervised row of the other."""
        checkpoint = self._trained(name)
        self._bundle(checkpoint, checkpoint, "training", ["source.json"], source_dir=self._domain(name))

    def adapt(self, row: str) -> None:
        """Adapt the source's network to the target."""
        checkpoint = self.checkpoints()[row]
        self._bundle(
            checkpoint,
            checkpoint,
            "training",
            [],
            source_dir=self._domain(self.source),
            dataset_dir=self._domain(self.target),
            points=ADAPTATIONS[row],
            init_checkpoint=self._trained(self.source),
        )

    def evaluate(self, row: str) -> None:
        """Score a network on the target's test split."""
        self._bundle(
            self.run / row / "metrics.csv",
            self.checkpoints()[row],
            "evaluating",
            ["evaluate.json"],
            source_dir=self._domain(self.source),
            dataset_dir=self._domain(self.target),
            output_dir=self.run / row,
        )

    def _domain(self, name: str) -> Path:
        return self.domains / name / f"seed{self.seed}"

    def _trained(self, name: str) -> Path:
        return self.domains / name / f"trained-seed{self.seed}.pt"

    def _bundle(self, result: Path, checkpoint: Path, run_id: str, overlays: list[str], **options: object) -> None:
        """Run a command of the bundle unless its result exists; its output goes to a log beside the result."""
        if result.is_file():
            return
        result.parent.mkdir(parents=True, exist_ok=True)
        log = result.with_suffix(".log")
        files = [f"configs/{name}" for name in ("train.json", self.overlay, *overlays)]
        options |= {
            "checkpoint": checkpoint,
            "pixel_size": self.pixel_size,
            "seed": self.seed,
            "work_dir": result.with_suffix(".work"),
            "resume": True,
        }
        command = [sys.executable, "-m", "monai.bundle", "run", run_id, "--config_file", str(files)]
        for key, value in options.items():
            if value is not None:
                command += [f"--{key}", str(value.resolve() if isinstance(value, Path) else value)]
        threads = str(max(1, (os.cpu_count() or 1) // self.jobs))
        with log.open("w") as out:
            out.write(" ".join(command) + "\n")
            out.flush()
            code = subprocess.call(
                command, cwd=ROOT, stdout=out, stderr=out, env={**os.environ, "OMP_NUM_THREADS": threads}
            )
        if code != 0:
            last = log.read_text(errors="replace").strip().splitlines()[-1]
            raise CellError(f"{last} (exit status {code}, see {log})")
        shutil.rmtree(result.with_suffix(".work"), ignore_errors=True)

    def _parallel(self, verb: str, work: Callable[[str], None], names: tuple[str, ...]) -> None:
        with ThreadPoolExecutor(self.jobs) as pool:
            for done in [pool.submit(self._timed, verb, work, name) for name in names]:
                done.result()

    def _timed(self, verb: str, work: Callable[[str], None], name: str) -> None:
        with stopwatch() as seconds:
            print(f"  {verb} {name} ...", flush=True)
            work(name)
        print(f"  {verb} {name}: done in {seconds():.0f} s", flush=True)


@contextmanager
def stopwatch() -> Iterator[Callable[[], float]]:
    """Yield a function that tells the seconds since the start."""
    start = time.monotonic()
    yield lambda: round(time.monotonic() - start, 1)


def read_means(path: Path) -> dict[str, dict[str, float]]:
    """The ``mean`` rows of an evaluation table: ``{mode: {metric: value}}``."""
    table = pd.read_csv(path)
    means = table[table["image"] == "mean"].set_index("mode")
    return {str(mode): {metric: float(row[metric]) for metric in METRICS} for mode, row in means.iterrows()}


def format_table(rows: dict[str, dict[str, dict[str, float]]]) -> str:
    """The rows as text, a line for each row and mode."""
    lines = [f"{'':14}{'mode':14}" + "".join(f"{metric:>8}" for metric in METRICS)]
    for name, modes in rows.items():
        for mode, means in modes.items():
            lines.append(f"{name:14}{mode:14}" + "".join(f"{means[metric]:8.3f}" for metric in METRICS))
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add = options.add_argument
    add("--data", type=Path, help="folder of the domains, each with train/ and test/ (default: synthetic domains)")
    add("--source", default=None, help="name of the source domain (default: synthetic-a)")
    add("--target", default=None, help="name of the target domain (default: synthetic-b)")
    add("--source-pixel-size", type=float, help="nm per pixel of the source's files (default: known, or as they tell)")
    add("--target-pixel-size", type=float, help="nm per pixel of the target's files")
    add("--pixel-size", type=float, default=20.0, help="nm per pixel to work at (default: 20)")
    add("--run", type=Path, default=Path("runs/demo"), help="output folder (default: runs/demo)")
    add("--domains", type=Path, help="folder of prepared domains and their own networks (default: RUN/domains)")
    add("--seed", type=int, default=0, help="of everything (default: 0)")
    add("--jobs", type=int, default=2, help="cells at a time (default: 2)")
    return options


def main() -> int:
    """Run the comparison; returns the exit status."""
    args = parser().parse_args()
    if (args.data is None) != (args.source is None) or (args.source is None) != (args.target is None):
        print("error: --data, --source and --target belong together", file=sys.stderr)
        return 2
    source, target = args.source or "synthetic-a", args.target or "synthetic-b"
    # Absolute, for threads and commands in other folders share these paths.
    run = args.run.resolve()
    given = {source: args.source_pixel_size, target: args.target_pixel_size}
    sizes = PIXEL_SIZES if args.data else {source: args.pixel_size, target: args.pixel_size}
    demo = Demo(
        run=run,
        domains=(args.domains or run / "domains").resolve(),
        source=source,
        target=target,
        data=args.data.resolve() if args.data else None,
        pixel_sizes={**sizes, **{name: size for name, size in given.items() if size is not None}},
        pixel_size=args.pixel_size,
        seed=args.seed,
        jobs=args.jobs,
        overlay="presets/cpu.json" if args.data else "tasks/synthetic.json",
    )
    print(f"{source} -> {target} in {args.run}", flush=True)
    try:
        with stopwatch() as seconds:
            rows = demo.execute()
    except (CellError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    before = read_json(run / "metrics.json") if (run / "metrics.json").is_file() else {"seconds": 0.0}
    total = round(before["seconds"] + seconds(), 1)
    result = {"source": source, "target": target, "seed": args.seed, "rows": rows, "seconds": total}
    write_json(run / "metrics.json", result)
    table = [Row(name, run / name, means) for name, means in rows.items()]
    report = write_report(run, f"{source} to {target}", table)
    write_overview(run, table, ("source_only", "wda_15", "wda_100"))
    print(f"\n{format_table(rows)}\n\n{total:.0f} seconds; pictures: {report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
