"""Turns folders of microscope images into a domain folder: one PNG a section, at one pixel size, with clicks."""

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from bundle.atomic import finish_replacing, new_folder
from bundle.data.domain_folder import SPLITS, check_replaceable, write_datalist
from bundle.data.image_files import opened_sections, write_png
from bundle.data.input_files import InputFile, find_input_files, pixel_sizes
from bundle.data.points import Clicks, PointsFile, check_inside, read_points, write_points
from bundle.data.resampling import resampled, resampled_points, resampled_size
from bundle.data.sections import Sections
from bundle.data.simulated_clicks import click_instances, share_of
from bundle.errors import DataError, SettingError
from bundle.keys import IMAGE, LABEL

_Sizes = dict[InputFile, tuple[int, int]]
"""(width, height) in the output of each input file."""
_PREFIX = {"training": "train", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class Preparation:
    """What to prepare, and how; the options of ``python -m scripts.prepare_data``.

    Attributes:
        output: domain folder to write.
        name: name of the domain; default the name of ``output``.
        data: folder with ``train/`` and ``test/`` (or one of them), each with ``images/`` and perhaps ``labels/``;
            instead of the next four.
        train: image files, and folders of them, of the training split.
        test: the same of the test split.
        train_labels: masks of ``train``, paired by stem; any value but 0 is foreground.
        test_labels: masks of ``test``.
        no_labels: leave the masks out of the training split. Clicks are still simulated from them.
        pixel_size: nanometres per pixel of all inputs; default what each file tells, if that can be trusted.
        output_pixel_size: nanometres per pixel of the output; default no resampling, for files that agree.
        validation_share: share of the training sections, the last ones, that becomes the validation split. Neighbours
            look alike, so sections taken from in between would not test much.
        points_share: shares in (0,1] of all instances of a split to click; one points file for each.
        points: points file made by hand, in pixels of the input; it becomes ``points.json``.
        seed: of the simulated clicks. The clicks of a small share are among those of a larger one.
        overwrite: replace a domain folder that is already there, with everything in it.
    """

    output: Path
    name: str | None = None
    data: Path | None = None
    train: Sequence[str | Path] = ()
    test: Sequence[str | Path] = ()
    train_labels: Sequence[str | Path] = ()
    test_labels: Sequence[str | Path] = ()
    no_labels: bool = False
    pixel_size: float | None = None
    output_pixel_size: float | None = None
    validation_share: float = 0.0
    points_share: Sequence[float] = (0.15,)
    points: Path | None = None
    seed: int = 0
    overwrite: bool = False


@dataclass(frozen=True)
class Prepared:
    """Summary of the domain folder that was written.

    Attributes:
        pixel_size: nanometres per pixel of the output.
        entries: the datalist's entries of each split.
        sizes: the sizes (width, height) in pixels that occur.
        instances: number of instances in the masks of each split.
        clicked: number of clicks in each split, by the name of the points file.
    """

    pixel_size: float
    entries: dict[str, list[dict[str, str]]]
    sizes: set[tuple[int, int]]
    instances: dict[str, int]
    clicked: dict[str, dict[str, int]]


class _Section(NamedTuple):
    file: InputFile
    z: int
    split: str
    name: str  # names of input images, as a points file made by hand may spell them
    image: str  # of the output, relative to the domain folder


def prepare_domain(options: Preparation) -> Prepared:
    """Write a domain folder atomically.

    Output images are gray PNG of 8 bits where the input has 8 bits, else of 16; what does not fit into 16 bits without
    sign (floating point, negative values) is scaled file by file, its percentiles 0.1 to 99.9 to the whole range.
    Images are resampled with anti-aliasing, masks likewise and cut at 0.5. An instance is an 8-connected component of
    a section's mask in the output.

    Args:
        options: what to prepare, and how.

    Returns:
        What was written.

    Raises:
        DataError: an option or an input file cannot be used, or the disk is full; nothing has been written then.
    """
    finish_replacing(options.output)  # first, since the inputs may lie in the folder that this restores
    options = _with_data_folder(options)
    _check_numbers(options)
    sections = _plan(options)
    inputs = list(dict.fromkeys(section.file for section in sections))
    check_replaceable(
        options.output, options.overwrite, [path for file in inputs for path in (file.image, file.label) if path]
    )
    given = pixel_sizes(inputs, options.pixel_size, options.output_pixel_size)
    output_pixel_size = options.output_pixel_size or given[inputs[0]]
    sizes = {file: resampled_size(file.header.size, given[file] / output_pixel_size) for file in inputs}
    by_hand = None if options.points is None else _scaled_points(options.points, sections, sizes)
    with new_folder(options.output) as folder:
        clicks, entries = _write_sections(folder, sections, sizes, options)
        files = _points_files(clicks, options) | ({} if by_hand is None else {"points.json": by_hand})
        for name, file in files.items():
            write_points(folder / name, *file)
        write_datalist(folder, options.name or options.output.absolute().name, output_pixel_size, entries)
    return Prepared(
        pixel_size=output_pixel_size,
        entries=entries,
        sizes=set(sizes.values()),
        instances={split: sum(map(len, images.values())) for split, images in clicks.items()},
        clicked={name: _count(file, entries) for name, file in files.items()},
    )


def _with_data_folder(options: Preparation) -> Preparation:
    """Put the folders below ``options.data`` in the place of train, test and their labels."""
    if options.data is None:
        return options
    if options.train or options.test or options.train_labels or options.test_labels:
        raise SettingError(f"--data {options.data} stands for --train, --test and their labels; give one or the other")
    folders = {
        name + suffix: [options.data / name / kind]
        for name in ("train", "test")
        for suffix, kind in (("", "images"), ("_labels", "labels"))
        if (options.data / name / "images").is_dir() and (options.data / name / kind).is_dir()
    }
    if not folders:
        raise DataError(f"{options.data}: expected train/images or test/images in it; or give --train and --test")
    return dataclasses.replace(options, **folders)  # type: ignore[arg-type]  # these fields are lists of paths


def _check_numbers(options: Preparation) -> None:
    for name in ("pixel_size", "output_pixel_size"):
        value = getattr(options, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise SettingError(f"{name} is {value}; expected nanometres above 0")
    if not 0 <= options.validation_share < 1:
        raise SettingError(f"validation_share is {options.validation_share}; expected 0 or more and less than 1")
    for share in options.points_share:
        if not 0 < share <= 1:
            raise SettingError(f"points_share is {share}; expected more than 0 and at most 1, as 0.15 for 15 %")
    if options.seed < 0:
        raise SettingError(f"seed is {options.seed}; expected 0 or more")


def _plan(options: Preparation) -> list[_Section]:
    """List every section to be written, and refuse two that would get the same name."""
    train = _sections(find_input_files(options.train, options.train_labels))
    test = _sections(find_input_files(options.test, options.test_labels))
    if not train and not test:
        raise SettingError("no images: give --train, --test or --data")
    held = _validation_count(len(train), options.validation_share)
    splits = {"training": train[: len(train) - held], "validation": train[len(train) - held :], "test": test}
    sections = [
        _Section(file, z, split, str(file.image.parent / name), f"images/{_PREFIX[split]}_{Path(name).name}.png")
        for split, found in splits.items()
        for file, z, name in found
    ]
    image, count = Counter(section.image for section in sections).most_common(1)[0]
    if count > 1:
        files = ", ".join(section.name for section in sections if section.image == image)
        raise DataError(f"{count} inputs would become {image}: {files}. Rename all but one")
    return sections


def _sections(files: Sequence[InputFile]) -> list[tuple[InputFile, int, str]]:
    return [(file, z, name) for file in files for z, name in enumerate(file.section_names())]


def _validation_count(sections: int, share: float) -> int:
    if not share:
        return 0
    count = max(1, math.floor(share * sections + 0.5))
    if count >= sections:
        raise SettingError(f"validation_share {share} of {sections} training sections leaves none to train on")
    return count


def _scaled_points(path: Path, sections: Sequence[_Section], sizes: _Sizes) -> PointsFile:
    """Read points in pixels of the input and turn them into pixels of the output."""
    given, by_name = read_points(path, [section.name for section in sections]), {s.name: s for s in sections}
    clicks = {}
    for name, (points, labels) in given.clicks.items():
        size = by_name[name].file.header.size
        check_inside(path, name, points, size)
        moved = resampled_points(points, size, sizes[by_name[name].file])
        clicks[by_name[name].image] = Clicks(moved, labels)
    return PointsFile(clicks, given.complete)


def _write_sections(
    folder: Path, sections: Sequence[_Section], sizes: _Sizes, options: Preparation
) -> tuple[dict[str, dict[str, list[list[int]]]], dict[str, list[dict[str, str]]]]:
    """Write images and masks.

    Returns:
        For each split that has masks: one click in every instance, by image; and the datalist's entries of each split.
    """
    (folder / "images").mkdir()
    clicks: dict[str, dict[str, list[list[int]]]] = {}
    entries: dict[str, list[dict[str, str]]] = {split: [] for split in SPLITS}
    random = {split: np.random.default_rng([options.seed, number]) for number, split in enumerate(SPLITS)}
    progress = tqdm(_read(sections, sizes), total=len(sections), unit="section", disable=None)
    for section, image, mask in progress:
        write_png(folder / section.image, image)
        entry = {IMAGE: section.image}
        if mask is not None:
            clicks.setdefault(section.split, {})[section.image] = click_instances(mask, random[section.split])
            if not (options.no_labels and section.split == "training"):
                entry[LABEL] = section.image.replace("images/", "labels/", 1)
                (folder / "labels").mkdir(exist_ok=True)
                write_png(folder / entry[LABEL], mask.astype(np.uint8) * 255)
        entries[section.split].append(entry)
    return clicks, entries


def _read(sections: Sequence[_Section], sizes: _Sizes) -> Iterator[tuple[_Section, NDArray[Any], NDArray[Any] | None]]:
    """Yield each section with its image and mask (X,Y) at the size of the output, opening every file once."""
    for file, group in groupby(sections, key=lambda section: section.file):
        size = sizes[file]
        labels = nullcontext() if file.label is None else opened_sections(file.label)
        with opened_sections(file.image) as images, labels as masks:
            gray = _gray_reader(images)
            for section in group:
                mask = None if masks is None else (masks.read(section.z) != 0).astype(np.float32)
                part = None if mask is None else resampled(mask, size) >= 0.5
                yield section, resampled(gray(section.z), size), part


def _gray_reader(images: Sections) -> Callable[[int], NDArray[Any]]:
    """Return what reads a section by its number as uint8 or uint16, unchanged where the file's values fit."""
    if images.dtype in (np.uint8, np.uint16):
        return images.read
    whole = _to_gray(np.stack(list(images), axis=2))  # one scale for all
    return lambda number: whole[..., number]


def _to_gray(image: NDArray[Any]) -> NDArray[Any]:
    if np.issubdtype(image.dtype, np.integer) and image.min() >= 0 and image.max() <= 65535:
        return image.astype(np.uint8 if image.dtype.itemsize == 1 else np.uint16)
    low, high = np.percentile(image, (0.1, 99.9))
    gray: NDArray[np.uint16] = np.rint(np.clip((image - low) / ((high - low) or 1), 0, 1) * 65535).astype(np.uint16)
    return gray


def _points_files(clicks: dict[str, dict[str, list[list[int]]]], options: Preparation) -> dict[str, PointsFile]:
    """Draw the share of each split separately and join the splits; no file if no image has a mask."""
    if not clicks:
        return {}
    return {
        f"points_{share * 100:g}.json": PointsFile(
            {
                image: Clicks(points, [1] * len(points))
                for number, split in enumerate(SPLITS)
                for image, points in share_of(clicks.get(split, {}), share, [options.seed, number, 1]).items()
            },
            complete=share >= 1,
        )
        for share in options.points_share
    }


def _count(file: PointsFile, entries: dict[str, list[dict[str, str]]]) -> dict[str, int]:
    empty = Clicks([], [])
    return {
        split: sum(len(file.clicks.get(entry[IMAGE], empty).points) for entry in found)
        for split, found in entries.items()
    }
