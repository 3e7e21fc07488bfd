"""As many annotated crops of a domain as a person can draw in a given time."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from skimage.measure import label as connected_components

from bundle.atomic import make_folder
from bundle.data.domain_folder import load_domain, read_datalist
from bundle.data.image_files import read_image, write_png
from bundle.data.preparation import Preparation, Prepared, prepare_domain
from bundle.errors import DataError
from bundle.keys import IMAGE, LABEL


class Crop(NamedTuple):
    """A part of a training image: ``image[box]``, with the number of its instances."""

    image: str
    label: str
    box: tuple[slice, slice]
    instances: int


def write_crops(domain: Path, output: Path, masks: int, size: int, seed: int) -> Prepared:
    """Write a domain folder with random crops of another one's training split.

    Each training image is divided into crops of about ``size`` pixels, which do not overlap. They are taken in a random
    order; one that has more instances than may still be drawn is passed over, and one without any costs nothing. An
    instance that the border of a crop cuts counts as one, for a person draws what is seen of it.

    Args:
        domain: domain folder with masks of its training split.
        output: domain folder to write; also ``output`` with the suffix ``.crops``, for a while.
        masks: how many instances a person draws, at most; one crop with the fewest is taken where none has so few.
        size: of a crop, in pixels.
        seed: of the order.

    Returns:
        What was written.

    Raises:
        DataError: the training split has no masks, or nothing is drawn in them.
    """
    chosen = choose(list(crops_of(domain, size)), masks, seed)
    if not chosen:
        raise DataError(f"{domain}: expected masks with instances in its training split, to take annotated crops of")
    raw = output.with_suffix(".crops")
    shutil.rmtree(raw, ignore_errors=True)
    for kind in ("images", "labels"):
        make_folder(raw / kind)
    for number, crop in enumerate(chosen):
        for kind, file in (("images", crop.image), ("labels", crop.label)):
            write_png(raw / kind / f"crop_{number:04d}.png", read_image(file)[..., 0][crop.box])
    written = prepare_domain(
        Preparation(
            output=output,
            name=output.name,
            train=[raw / "images"],
            train_labels=[raw / "labels"],
            pixel_size=read_datalist(domain)["pixel_size"],
            points_share=(1.0,),
            seed=seed,
        )
    )
    shutil.rmtree(raw)
    return written


def crops_of(domain: Path, size: int) -> Iterator[Crop]:
    """Divide the annotated training images of a domain folder into crops of about ``size`` pixels."""
    for item in load_domain(domain, "training"):
        if LABEL in item:
            mask = read_image(item[LABEL])[..., 0] > 0
            for box in ((x, y) for x in _parts(mask.shape[0], size) for y in _parts(mask.shape[1], size)):
                instances = int(connected_components(mask[box], connectivity=2).max())
                yield Crop(item[IMAGE], item[LABEL], box, instances)


def choose(crops: Sequence[Crop], masks: int, seed: int) -> list[Crop]:
    """Take crops in a random order until ``masks`` instances are drawn; none where nothing is to be drawn."""
    order = [crops[i] for i in np.random.default_rng(seed).permutation(len(crops))]
    chosen, left = [], masks
    for crop in order:
        if left == 0:
            break
        if crop.instances <= left:
            chosen.append(crop)
            left -= crop.instances
    if left == masks:  # nothing was drawn
        return sorted((crop for crop in order if crop.instances), key=lambda crop: crop.instances)[:1]
    return chosen


def _parts(length: int, size: int) -> list[slice]:
    """Divide a length evenly into parts of about ``size``."""
    borders = np.linspace(0, length, max(1, round(length / size)) + 1).round().astype(int).tolist()
    return [slice(start, stop) for start, stop in itertools.pairwise(borders)]
