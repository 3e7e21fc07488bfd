"""Segment an image, or all images of a folder: masks, instances, pictures, and a table of what was found.

python -m scripts.infer scans/new.tif --pixel-size 8
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow

from bundle.config_text import config_text
from bundle.data.image_files import stem
from bundle.data.result_files import TABLE
from bundle.errors import DataError
from bundle.handlers.model_overlay import overlays_of
from bundle.handlers.shipped_weights import MODELS, SYNTHETIC_WEIGHTS
from bundle.preflight import exit_status

ROOT = Path(__file__).resolve().parents[1]

BEST_FIRST = ("model.pt", SYNTHETIC_WEIGHTS)
"""The weights that come with the bundle."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(prog="python -m scripts.infer", description=(__doc__ or "").split("\n")[0])
    add = options.add_argument
    add("image", type=Path, help="an image, a folder of images, or a domain folder, of which the test split is taken")
    add("--pixel-size", type=float, help="nanometres per pixel, of images whose files do not tell")
    add("--points", type=Path, help="clicks as CSV (image,x,y,label) or JSON (default: none, automatic)")
    add("--output", type=Path, help="folder of the results (default: runs/infer/NAME, named as the image or folder)")
    add("--checkpoint", type=Path, help="weights (default: models/model.pt, else models/model_synthetic.pt)")
    add("--resume", action="store_true", help="leave out images that have results in the folder")
    return options


def shipped_weights() -> Path:
    """The best weights that are there.

    Raises:
        DataError: there are none.
    """
    for name in BEST_FIRST:
        if (MODELS / name).is_file():
            return MODELS / name
    raise DataError(f"{MODELS}: has neither {' nor '.join(BEST_FIRST)}; fetch them, or name a --checkpoint")


def output_of(options: argparse.Namespace) -> Path:
    """The folder of the results."""
    given: Path | None = options.output
    return ROOT / "runs" / "infer" / stem(options.image.absolute()) if given is None else given


def inference(options: argparse.Namespace, checkpoint: Path, output: Path) -> ConfigWorkflow:
    """``configs/inference.json`` with the overlay of the weights and the settings of the command line."""
    paths = {"bundle_root": ROOT, "dataset_dir": options.image, "output_dir": output, "checkpoint": checkpoint}
    settings: dict[str, Any] = {name: config_text(path.absolute()) for name, path in paths.items()}
    if options.points is not None:  # or the name of a file in the domain folder
        settings["points"] = config_text(options.points.absolute() if options.points.is_file() else options.points)
    if options.pixel_size is not None:
        settings["image_pixel_size"] = options.pixel_size
    files = [ROOT / "configs" / "inference.json", *overlays_of(checkpoint)]
    return ConfigWorkflow(
        [str(file) for file in files], workflow_type="infer", logging_file=False, resume=options.resume, **settings
    )


def main(arguments: list[str] | None = None) -> int:
    """Segment, and say in one line what was found; returns the exit status."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("monai.bundle.workflows").setLevel(logging.ERROR)  # has no word that is of use here
    try:
        checkpoint = options.checkpoint or shipped_weights()
        output = output_of(options)
        workflow = inference(options, checkpoint, output)
        workflow.initialize()
        workflow.run()
        summary = workflow.parser.get_parsed_content("report").summary()
    except Exception as error:
        return exit_status(error)
    print(f"{summary}, by {checkpoint.name}: {output / TABLE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
