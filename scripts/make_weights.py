"""Train the weights of the repository anew: on synthetic tissue alone, then on annotated images too.

python -m scripts.make_weights --data data/vnc --pixel-size 4.6

What is done is kept in the work folder; the same command run again goes on with what is missing.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bundle.atomic import make_folder
from bundle.config_text import config_text
from bundle.data import domain_pixel_size
from bundle.data.preparation import Preparation, prepare_domain
from bundle.errors import MendableError
from bundle.handlers.model_overlay import overlay_path
from bundle.json_files import read_json
from bundle.state_files import read_state, write_state
from bundle.synthetic import SyntheticDataset
from scripts.comparison.bundle_process import ROOT
from scripts.comparison.cells import CellError, Cells, timed

CONFIGS = {
    "model_synthetic.pt": ("train.json", "source.json", "weights.json"),
    "model.pt": ("train.json", "source.json", "weights.json", "weights_annotated.json"),
}
"""The configurations of each file of weights; presets/cpu.json goes behind the first."""
SYNTHETIC, ANNOTATED = CONFIGS
CONFIG = ROOT / "configs" / "weights.json"


@dataclass
class Weights:
    """Both files of weights, and what they are made of.

    Attributes:
        output: folder that gets each pair of weights and overlay once it is complete.
        work: folder for data, logs and what resuming needs.
        data: folder with ``train/images`` and ``train/labels``; None for the synthetic weights alone.
        pixel_size: nm of these images; None if their files tell it.
        seed: of the trainings.
        cells: runs the commands.
    """

    output: Path
    work: Path
    data: Path | None
    pixel_size: float | None
    seed: int
    cells: Cells

    def make(self) -> list[Path]:
        """Make what is missing; returns the files."""
        numbers = read_json(CONFIG)["synthetic"]
        synthetic = SyntheticDataset(self.work / "synthetic", **numbers)
        timed("render synthetic tissue", synthetic.render_all)
        timed(f"train {SYNTHETIC}", partial(self.train, SYNTHETIC, source_dir=typed(synthetic.folder)))
        if self.data is None:
            return [self.output / SYNTHETIC]
        annotated = self.work / "annotated"
        timed("prepare annotated images", partial(self.prepare, annotated, numbers["pixel_size"]))
        folders = {"source_dir": typed(synthetic.folder), "annotated_dir": typed(annotated)}
        start = typed(self.work / SYNTHETIC)
        training = partial(self.train, ANNOTATED, init_checkpoint=start, **folders)
        timed(f"train {ANNOTATED}", training)
        return [self.output / SYNTHETIC, self.output / ANNOTATED]

    def prepare(self, folder: Path, pixel_size: float) -> None:
        """Write the domain folder of the annotated images, unless it is there; only their training split is read.

        Raises:
            SettingError: it is there, but of another pixel size.
        """
        if folder.exists():
            domain_pixel_size([folder], pixel_size, required=True)
            return
        data = Path(self.data or "")
        prepare_domain(
            Preparation(
                output=folder,
                name=data.name,
                train=(data / "train" / "images",),
                train_labels=(data / "train" / "labels",),
                pixel_size=self.pixel_size,
                output_pixel_size=pixel_size,
            )
        )

    def train(self, name: str, **options: str) -> None:
        """Train in the work folder, unless it has these weights, then put them and their overlay into the output."""
        result = self.work / name
        self.cells.bundle(
            result,
            "training",
            CONFIGS[name],
            weights=None,
            checkpoint=typed(result),
            work_dir=typed(result.with_suffix(".work")),
            seed=self.seed,
            **options,
        )
        shipped = self.output / name
        make_folder(self.output)
        write_state(read_state(result), shipped, beside={overlay_path(shipped): overlay_path(result).read_text()})


def typed(path: Path) -> str:
    """A path for a command in the repository's root, relative if it lies there: the overlay repeats the command."""
    path = path.absolute()
    return config_text(f"./{path.relative_to(ROOT)}" if path.is_relative_to(ROOT) else path)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(prog="python -m scripts.make_weights", description=(__doc__ or "").split("\n")[0])
    add = options.add_argument
    add("--data", type=Path, metavar="DIR", help="annotated images: train/images and train/labels (default: none)")
    add("--pixel-size", type=float, metavar="NM", help="nm per pixel of these (default: as their files tell)")
    add("--output", type=Path, default=Path("models"), help="folder of the weights (default: models)")
    add("--work", type=Path, default=Path("runs/weights"), help="folder for everything else (default: runs/weights)")
    add("--seed", type=int, default=0, help="of the trainings (default: 0)")
    return options


def main() -> int:
    """Make the weights; returns the exit status."""
    args = parser().parse_args()
    weights = Weights(
        output=args.output.absolute(),
        work=args.work.absolute(),
        data=args.data.absolute() if args.data else None,
        pixel_size=args.pixel_size,
        seed=args.seed,
        cells=Cells(overlays=("presets/cpu.json",), common={}, jobs=1),
    )
    try:
        made = weights.make()
    except (CellError, MendableError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for path in made:
        print(os.path.relpath(path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
