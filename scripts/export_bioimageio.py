"""Write a checkpoint as two BioImage.IO packages, which other programs run without this bundle.

python -m scripts.export_bioimageio --checkpoint models/model.pt --output runs/bioimageio
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bundle.errors import DataError
from bundle.json_files import read_json
from bundle.preflight import check_positive, exit_status
from scripts.sharing.standalone_model import load_model

ROOT = Path(__file__).resolve().parents[1]

AUTHOR = "The contributors of the Prefer-DAS bundle"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(
        prog="python -m scripts.export_bioimageio", description=(__doc__ or "").split("\n")[0]
    )
    add = options.add_argument
    add("--checkpoint", type=Path, default=ROOT / "models" / "model.pt", help="default: models/model.pt")
    add("--output", type=Path, required=True, help="folder for CHECKPOINT-automatic.zip and CHECKPOINT-interactive.zip")
    add("--config", type=Path, nargs="*", default=[], help="further overlays; the one beside the checkpoint is added")
    add(
        "--pixel-size",
        type=float,
        help="of the images that the model is made for, in nanometres, where no overlay says it",
    )
    add("--name", default="Prefer-DAS mitochondria", help="of the model (default: %(default)s)")
    add("--author", action="append", help=f"who made the weights; may be repeated (default: {AUTHOR})")
    add("--license", help="SPDX identifier of the weights' licence, such as CC-BY-4.0 (default: not stated)")
    return options


def export(options: argparse.Namespace) -> list[Path]:
    """Write both packages.

    Returns:
        Their paths.

    Raises:
        ValueError: a file or a setting cannot be used, or bioimageio.core is not there.
        OSError: a file is missing.
    """
    if options.pixel_size is not None:
        check_positive(pixel_size=options.pixel_size)
    model = load_model(options.checkpoint, options.config, options.pixel_size)
    try:
        from scripts.sharing.package import Card, write_package
    except ModuleNotFoundError as missing:
        if "bioimageio" not in str(missing):
            raise
        raise DataError(
            "bioimageio.core is not installed here; `make bioimageio` does it, in .venv-bioimageio"
        ) from missing
    metadata = read_json(ROOT / "configs" / "metadata.json")
    written = []
    for kind in ("automatic", "interactive"):
        card = Card(
            name=f"{options.name} ({kind})",
            version=metadata["version"],
            authors=options.author or [AUTHOR],
            license=options.license,
        )
        path = options.output / f"{options.checkpoint.stem}-{kind}.zip"
        write_package(model, card, kind == "interactive", path)
        written.append(path)
    return written


def main(arguments: list[str] | None = None) -> int:
    """Write the packages; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        written = export(options)
    except Exception as error:
        return exit_status(error)
    for path in written:
        print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")
    if options.license is None:
        print("the packages state no licence, without which QuPath may refuse them: add --license")
    return 0


if __name__ == "__main__":
    sys.exit(main())
