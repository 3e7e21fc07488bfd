"""Show in three minutes what votes do: masks of synthetic tissue before 30 simulated votes, and after.

The weights that are part of the bundle segment images of a tissue that they were not trained on. The tissue's truth
stands in for a person and votes, region by region, for the best of several masks. The network learns from the votes.
What is in the output folder is kept; the same command run again goes on with what is missing.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bundle.atomic import make_folder
from bundle.data.preparation import Preparation, prepare_domain
from bundle.errors import DataError
from bundle.handlers.shipped_weights import MODELS, SYNTHETIC_WEIGHTS
from bundle.json_files import read_json, write_json
from bundle.preferences.candidates.files import file_sha256
from bundle.preferences.store.judgement_store import JudgementStore
from bundle.preflight import exit_status
from bundle.synthetic.generator import write_domain
from scripts.compare import format_table
from scripts.comparison.cells import CellError, Cells, Task, stopwatch
from scripts.comparison.comparison import read_means
from scripts.comparison.person_time import PersonTime
from scripts.comparison.preference_rows import read_cost
from scripts.comparison.report import Row, write_overview, write_report

DOMAIN = "synthetic-b"
PIXEL_SIZE = 20.0
BEFORE, AFTER = "before", "after"
ABOUT = "demo.json"


@dataclass
class Demo:
    """Shipped weights before and after votes.

    Attributes:
        run: output folder.
        checkpoint: weights to begin with.
        votes: how many are given.
        seed: of everything.
        cells: runs the commands.
    """

    run: Path
    checkpoint: Path
    votes: int
    seed: int
    cells: Cells

    def execute(self) -> list[Row]:
        """Make what is missing; returns the rows before and after.

        Raises:
            DataError: there are no weights, or the folder is of a demo with other weights, votes or seed.
        """
        if not self.checkpoint.is_file():
            raise DataError(f"{self.checkpoint}: no such weights; fetch them, or name others with --checkpoint")
        self._check_folder()
        self.cells.run(self.tasks())
        cost = {BEFORE: {}, AFTER: read_cost(self._store)}
        means = {name: read_means(self.run / name / "metrics.csv") for name in (BEFORE, AFTER)}
        times = {BEFORE: PersonTime(), AFTER: PersonTime(votes=int(cost[AFTER]["judgements"]))}
        return [Row(name, self.run / name, means[name], cost[name], times[name]) for name in (BEFORE, AFTER)]

    def _check_folder(self) -> None:
        """What is kept in the folder must be of this demo."""
        about, path = (
            {"weights": file_sha256(self.checkpoint), "votes": self.votes, "seed": self.seed},
            self.run / ABOUT,
        )
        if not path.is_file():
            make_folder(self.run)
            write_json(path, about)
        elif read_json(path) != about:
            raise DataError(f"{self.run}: is of other weights, votes or seed; remove it, or name another --run")

    def tasks(self) -> dict[str, Task]:
        """The steps, each with those that it waits for."""
        return {
            "make images": Task(self.prepare),
            "make candidate masks": Task(self.make_candidates, ["make images"]),
            f"score {BEFORE}": Task(partial(self.evaluate, BEFORE, self.checkpoint), ["make images"]),
            "vote and learn": Task(self.prefer, ["make candidate masks"]),
            f"score {AFTER}": Task(partial(self.evaluate, AFTER, self._trained), ["vote and learn"]),
        }

    def prepare(self) -> None:
        """Write the domain folder, unless it is there."""
        if (self._domain / "datalist.json").is_file():
            return
        raw = self.run / "raw"
        shutil.rmtree(raw, ignore_errors=True)
        write_domain(raw, DOMAIN, seed=self.seed)
        prepare_domain(
            Preparation(
                output=self._domain,
                name=DOMAIN,
                data=raw,
                pixel_size=PIXEL_SIZE,
                points_share=(1.0,),
                seed=self.seed,
            )
        )

    def make_candidates(self) -> None:
        """Make the candidate masks, and open a question for each region in which they disagree."""
        self.cells.bundle(
            self._questions,
            "making_candidates",
            ("train.json", "prefer.json", "candidates.json"),
            weights=self.checkpoint,
            init_checkpoint=self.checkpoint,
            dataset_dir=self._domain,
            store=self._questions,
            candidates_dir=self.run / "candidates",
        )

    def prefer(self) -> None:
        """Vote on the questions that come first, and learn from it."""
        with JudgementStore(self._questions, create=False) as store:
            questions = len(store.questions())
        self.cells.bundle(
            self._trained,
            "training",
            ("train.json", "prefer.json"),
            weights=self.checkpoint,
            checkpoint=self._trained,
            dataset_dir=self._domain,
            init_checkpoint=self.checkpoint,
            method="slpo",
            budget=min(1.0, self.votes / max(1, questions)),
            annotator="oracle",
            store=self._store,
            candidates_dir=self.run / "candidates",
            pictures_dir=self.run / AFTER,
        )

    def evaluate(self, name: str, checkpoint: Path) -> None:
        """Score weights on images that nobody voted on."""
        self.cells.bundle(
            self.run / name / "metrics.csv",
            "evaluating",
            ("train.json", "evaluate.json"),
            weights=checkpoint,
            checkpoint=checkpoint,
            dataset_dir=self._domain,
            source_labels=[],
            output_dir=self.run / name,
        )

    @property
    def _domain(self) -> Path:
        return self.run / "target"

    @property
    def _questions(self) -> Path:
        return self.run / "questions.sqlite"

    @property
    def _store(self) -> Path:
        return self.run / "votes.sqlite"

    @property
    def _trained(self) -> Path:
        return self.run / "preferred.pt"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(prog="python -m scripts.demo", description=(__doc__ or "").split("\n")[0])
    add = options.add_argument
    checkpoint = MODELS / SYNTHETIC_WEIGHTS
    add("--run", type=Path, default=Path("runs/demo"), help="output folder (default: runs/demo)")
    add("--checkpoint", type=Path, default=checkpoint, help="weights (default: models/model_synthetic.pt)")
    add("--votes", type=int, default=30, help="simulated votes (default: 30)")
    add("--seed", type=int, default=0, help="of everything (default: 0)")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; returns the exit status."""
    options = parser().parse_args(arguments)
    run = options.run.resolve()
    demo = Demo(
        run=run,
        checkpoint=options.checkpoint.resolve(),
        votes=options.votes,
        seed=options.seed,
        cells=Cells(overlays=("presets/cpu.json", "tasks/synthetic.json"), common={"seed": options.seed}, jobs=2),
    )
    try:
        with stopwatch() as seconds:
            rows = demo.execute()
        title = f"Synthetic tissue, {BEFORE} and {AFTER} {rows[1].cost['judgements']:.0f} votes"
        report = write_report(run, title, rows, judged=AFTER)
        picture = write_overview(run, rows, (BEFORE, AFTER))
    except CellError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        return exit_status(error)
    print(f"\n{format_table(rows)}\n\n{seconds():.0f} seconds; {picture} and {report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
