"""Turn microscope images, and masks if there are any, or a published data set into a domain folder.

python -m scripts.prepare_data --data scans/vnc --output data/vnc --pixel-size 4.6 --output-pixel-size 20
python -m scripts.prepare_data --dataset lucchi-pp --archives lucchi_pp.zip --output data/lucchi-pp
"""

import argparse
import logging
import sys
from pathlib import Path

import itk

from bundle.data.image_files import SUFFIXES
from bundle.data.preparation import Preparation, Prepared, prepare_domain
from bundle.data.published import PUBLISHED, TASKS_PIXEL_SIZE
from bundle.data.published_preparation import prepare_published
from bundle.errors import MendableError, SettingError

_FORMATS = f"""Formats: {" ".join(SUFFIXES)}; 2D, or 3D stacks whose sections along z become images
<split>_<stem>_z000.png, ... Output is gray PNG: 8 bits stay 8 bits, other integers become 16 bits, and floating point
or negative values are scaled, for each file its percentiles 0.1 to 99.9, to 16 bits. Points files are JSON
{{"complete": false, "points": {{"000.png": {{"points": [[x, y]], "point_labels": [1]}}}}}} or CSV with the header
image,x,y,label (1 foreground, 0 background; the label may be left out); a section of a stack is named stem_z000."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; its destinations are the fields of `Preparation`."""
    options = argparse.ArgumentParser(
        prog="python -m scripts.prepare_data", description=(__doc__ or "").split("\n")[0], epilog=_FORMATS
    )
    add = options.add_argument
    add("--output", type=Path, required=True, metavar="DIR", help="domain folder to write")
    add("--name", help="name of the domain (default: that of the output folder)")
    add(
        "--dataset",
        choices=sorted(PUBLISHED),
        help=f"a published data set: its pixel size is known, and all is resampled to {TASKS_PIXEL_SIZE:g} nm unless "
        "--output-pixel-size says otherwise",
    )
    add(
        "--archives",
        nargs="+",
        type=Path,
        default=(),
        metavar="PATH",
        help="its ZIP archives as published, or folders with them, or with what was in them",
    )
    add(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder with train/, validation/ and test/, each with images/ and perhaps labels/",
    )
    for split in ("train", "validation", "test"):
        add(f"--{split}", nargs="+", default=(), metavar="PATH", help=f"{split} images: files or folders")
        add(
            f"--{split}-labels", nargs="+", default=(), metavar="PATH", help="their masks, paired by stem; 0 background"
        )
    add(
        "--background",
        nargs="+",
        type=int,
        default=(0,),
        metavar="VALUE",
        help="values of masks that are background (default: 0)",
    )
    add(
        "--no-labels",
        action="store_true",
        help="leave the masks out of the training split; clicks come from them still",
    )
    add("--pixel-size", type=float, metavar="NM", help="nm per pixel of the input (default: from the files)")
    add("--output-pixel-size", type=float, metavar="NM", help="nm per pixel of the output (default: no resampling)")
    add(
        "--validation-share",
        type=float,
        default=0.0,
        help="share of the training sections, the last ones, to set apart",
    )
    add(
        "--points-share",
        type=float,
        nargs="+",
        metavar="SHARE",
        help="shares of the instances to click (default: 0.15, of a published data set 0.15 1.0)",
    )
    add("--points", type=Path, metavar="FILE", help="points made by hand, in pixels of the input")
    add("--seed", type=int, default=0, help="of the simulated clicks")
    add("--overwrite", action="store_true", help="replace a domain folder, with the points files in it")
    return options


def summary(prepared: Prepared) -> str:
    """Return what was written as lines of text."""
    sizes = ", ".join(f"{width} x {height}" for width, height in sorted(prepared.sizes))
    lines = [f"{sizes} pixels (width x height) of {prepared.pixel_size:g} nm"]
    for split, entries in prepared.entries.items():
        labelled = sum("label" in entry for entry in entries)
        lines += [f"{split}: {len(entries)} images, {labelled} with a mask"] if entries else []
    for file, clicked in prepared.clicked.items():
        counts = [f"{split} {clicked[split]}{_of(prepared, split)}" for split in prepared.entries if clicked[split]]
        lines.append(f"{file}: {', '.join(counts) or 'no'} clicks")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the program.

    Args:
        arguments: command line; default that of the process.

    Returns:
        Exit status: 0, or 2 when something given cannot be used.
    """
    logging.basicConfig(format="%(message)s")
    itk.Object.SetGlobalWarningDisplay(False)  # a refused file gets one line, from here
    given = vars(parser().parse_args(arguments))
    dataset, archives = given.pop("dataset"), given.pop("archives")
    given["points_share"] = given["points_share"] or ((0.15, 1.0) if dataset else (0.15,))
    if dataset:
        given["output_pixel_size"] = given["output_pixel_size"] or TASKS_PIXEL_SIZE
    options = Preparation(**given)
    try:
        if archives and not dataset:
            raise SettingError(f"--archives are of a published data set; name it: --dataset {', '.join(PUBLISHED)}")
        prepared = prepare_published(dataset, archives, options) if dataset else prepare_domain(options)
    except (MendableError, OSError) as error:
        print(f"prepare_data: {error}", file=sys.stderr)
        return 2
    print(f"{options.output}\n{summary(prepared)}")
    return 0


def _of(prepared: Prepared, split: str) -> str:
    return f" (of {prepared.instances[split]} instances)" if split in prepared.instances else ""


if __name__ == "__main__":
    sys.exit(main())
