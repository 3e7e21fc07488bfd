"""Turns folders of microscope images into a domain folder: one PNG a section, at one pixel size, with clicks."""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Sequence
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
from bundle.data.gray_sections import gray_reader
from bundle.data.image_files import opened_sections, write_png
from bundle.data.input_files import InputFile, find_input_files, pixel_sizes
from bundle.data.points import Clicks, PointsFile, check_inside, read_points, write_points
from bundle.data.resampling import resampled, resampled_points, resampled_size
from bundle.data.simulated_clicks import click_instances, points_files
from bundle.errors import DataError, SettingError
from bundle.keys import IMAGE, LABEL, NATIVE_LABEL, NATIVE_PIXEL_SIZE

_Sizes = dict[InputFile, tuple[int, int]]
"""(width, height) in the output of each input file."""
_PREFIX = {"training": "train", "validation": "validation", "test": "test"}
_GIVEN = tuple(_PREFIX.values())


@dataclass(frozen=True)
class Preparation:
    """What to prepare, and how; the options of ``python -m scripts.prepare_data``.

    Attributes:
        output: domain folder to write.
        name: name of the domain; default the name of ``output``.
        data: folder with ``train/``, ``validation/`` and ``test/`` (or one of them), each with ``images/`` and perhaps
            ``labels/``; instead of the next six.
        train: image files, and folders of them, of the training split.
        validation: the same of the validation split.
        test: the same of the test split.
        train_labels: masks of ``train``, paired by stem.
        validation_labels: masks of ``validation``.
        test_labels: masks of ``test``.
        background: values of the masks that are background; all others are foreground.
        no_labels: leave the masks out of the training split. Clicks are still simulated from them.
        pixel_size: nanometres per pixel of all inputs; default what each file tells, if that can be trusted.
        output_pixel_size: nanometres per pixel of the output; default no resampling, for files that agree.
        validation_share: share of the training sections, the last ones, that becomes the validation split, where none
            is given. Neighbours look alike, so sections taken from in between would not test much.
        points_share: shares in (0,1] of all instances of a split to click; one points file for each.
        points: points file made by hand, in pixels of the input; it becomes ``points.json``.
        seed: of the simulated clicks. The clicks of a small share are among those of a larger one.
        overwrite: replace a domain folder that is already there, with everything in it.
    """

    output: Path
    name: str | None = None
    data: Path | None = None
    train: Sequence[str | Path] = ()
    validation: Sequence[str | Path] = ()
    test: Sequence[str | Path] = ()
    train_labels: Sequence[str | Path] = ()
    validation_labels: Sequence[str | Path] = ()
    test_labels: Sequence[str | Path] = ()
    background: Sequence[int] = (0,)
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
    entries: dict[str, list[dict[str, Any]]]
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
    Images are resampled with anti-aliasing, masks likewise and cut at 0.5. Of validation and test the mask of the input
    is kept too, so that an evaluation can score on that grid. An instance is an 8-connected component of a section's
    mask in the output.

    Args:
        options: what to prepare, and how.

    Returns:
        What was written.

    Raises:
        DataError: an option or an input file cannot be used, or the disk is full; nothing has been written then.
    """
    finish_replacing(options.output)  # first, since the inputs may lie in the folder that this restores
    options = _with_data_folder(options)
    check_numbers(options)
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
        clicks, entries = _write_sections(folder, sections, sizes, given, options)
        files = points_files(clicks, options.points_share, options.seed) | (
            {} if by_hand is None else {"points.json": by_hand}
        )
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


def check_numbers(options: Preparation) -> None:
    """Refuse numbers that cannot be, before anything is read.

    Raises:
        SettingError: names the option.
    """
    for name in ("pixel_size", "output_pixel_size"):
        value = getattr(options, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise SettingError(f"{name} is {value}; expected nanometres above 0")
    if not 0 <= options.validation_share < 1:
        raise SettingError(f"validation_share is {options.validation_share}; expected 0 or more and less than 1")
    for share in options.points_share:
        if not 0 < share <= 1:
            raise SettingError(f"points_share is {share}; expected more than 0 and at most 1, as 0.15 for 15 %")
    if options.validation and options.validation_share:
        raise SettingError(
            f"validation_share is {options.validation_share}, but there are validation images; leave it out, or "
            "give these images among --train"
        )
    if options.seed < 0:
        raise SettingError(f"seed is {options.seed}; expected 0 or more")


def _with_data_folder(options: Preparation) -> Preparation:
    """Put the folders below ``options.data`` in the place of train, test and their labels."""
    if options.data is None:
        return options
    if any(getattr(options, name + suffix) for name in _GIVEN for suffix in ("", "_labels")):
        raise SettingError(f"--data {options.data} stands for --train, --test and their labels; give one or the other")
    folders = {
        name + suffix: [options.data / name / kind]
        for name in _GIVEN
        for suffix, kind in (("", "images"), ("_labels", "labels"))
        if (options.data / name / "images").is_dir() and (options.data / name / kind).is_dir()
    }
    if not folders:
        raise DataError(f"{options.data}: expected train/images or test/images in it; or give --train and --test")
    return dataclasses.replace(options, **folders)  # type: ignore[arg-type]  # these fields are lists of paths


def _plan(options: Preparation) -> list[_Section]:
    """List every section to be written, and refuse two that would get the same name."""
    train = _sections(find_input_files(options.train, options.train_labels))
    given = _sections(find_input_files(options.validation, options.validation_labels))
    test = _sections(find_input_files(options.test, options.test_labels))
    if not train and not given and not test:
        raise SettingError("no images: give --train, --test or --data")
    held = _validation_count(len(train), options.validation_share)
    splits = {"training": train[: len(train) - held], "validation": given + train[len(train) - held :], "test": test}
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
    folder: Path, sections: Sequence[_Section], sizes: _Sizes, given: dict[InputFile, float], options: Preparation
) -> tuple[dict[str, dict[str, list[list[int]]]], dict[str, list[dict[str, Any]]]]:
    """Write images and masks; ``given`` has the pixel size of each input file.

    Returns:
        For each split that has masks: one click in every instance, by image; and the datalist's entries of each split.
    """
    (folder / "images").mkdir()
    clicks: dict[str, dict[str, list[list[int]]]] = {}
    entries: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    random = {split: np.random.default_rng([options.seed, number]) for number, split in enumerate(SPLITS)}
    read = _read(sections, sizes, options.background)
    for section, image, mask, native in tqdm(read, total=len(sections), unit="section", disable=None):
        write_png(folder / section.image, image)
        entry: dict[str, Any] = {IMAGE: section.image}
        if mask is not None:
            clicks.setdefault(section.split, {})[section.image] = click_instances(mask, random[section.split])
            if not (options.no_labels and section.split == "training"):
                entry[LABEL] = _write_mask(folder, section, "labels", mask)
            if native is not None and section.split != "training":
                entry[NATIVE_LABEL] = _write_mask(folder, section, "native_labels", native)
                entry[NATIVE_PIXEL_SIZE] = given[section.file]
        entries[section.split].append(entry)
    return clicks, entries


def _write_mask(folder: Path, section: _Section, kind: str, mask: NDArray[np.bool_]) -> str:
    """Write a mask (X,Y) to the folder ``kind``; returns its path as the datalist has it."""
    name = section.image.replace("images/", f"{kind}/", 1)
    (folder / kind).mkdir(exist_ok=True)
    write_png(folder / name, mask.astype(np.uint8) * 255)
    return name


def _read(
    sections: Sequence[_Section], sizes: _Sizes, background: Sequence[int]
) -> Iterator[tuple[_Section, NDArray[Any], NDArray[np.bool_] | None, NDArray[np.bool_] | None]]:
    """Yield each section with its image and mask (X,Y) at the size of the output, opening every file once.

    Behind them the mask of the input, where its size is another.
    """
    for file, group in groupby(sections, key=lambda section: section.file):
        size = sizes[file]
        labels = nullcontext() if file.label is None else opened_sections(file.label)
        with opened_sections(file.image) as images, labels as masks:
            gray = gray_reader(images)
            for section in group:
                image = resampled(gray(section.z), size)
                if masks is None:
                    yield section, image, None, None
                    continue
                values = masks.read(section.z)
                native: NDArray[np.bool_] = np.all([values != value for value in background], axis=0)
                mask = resampled(native.astype(np.float32), size) >= 0.5
                yield section, image, mask, None if native.shape == size else native


def _count(file: PointsFile, entries: dict[str, list[dict[str, Any]]]) -> dict[str, int]:
    empty = Clicks([], [])
    return {
        split: sum(len(file.clicks.get(entry[IMAGE], empty).points) for entry in found)
        for split, found in entries.items()
    }
