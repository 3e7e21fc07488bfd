"""Turns a published data set into a domain folder: its archives are unpacked for that, and its pixel size is known."""

from __future__ import annotations

import dataclasses
import logging
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from bundle.atomic import finish_replacing, make_folder, scratch_folder
from bundle.data.archives import Member, opened_members, unpack
from bundle.data.domain_folder import SPLITS, check_replaceable
from bundle.data.image_files import read_header, suffix_of
from bundle.data.pixel_size import TOLERANCE
from bundle.data.preparation import Preparation, Prepared, check_numbers, prepare_domain
from bundle.data.published import PUBLISHED, FoundFile, PublishedDataset
from bundle.errors import DataError, SettingError

logger = logging.getLogger(__name__)
_OPTIONS = dict(zip(SPLITS, ("train", "validation", "test"), strict=True))
"""The options of a preparation that have the images of each split."""


def prepare_published(name: str, places: Sequence[Path], options: Preparation) -> Prepared:
    """Write the domain folder of a published data set, atomically.

    Files of archives are unpacked beside the output and deleted at the end; those in folders are read where they are.

    Args:
        name: of `PUBLISHED`.
        places: its archives; or folders with the archives, or with what was in them.
        options: as of :func:`prepare_domain`, without images and masks.

    Returns:
        What was written.

    Raises:
        SettingError: there is no such data set, or ``pixel_size`` is not that of the data set.
        DataError: as :func:`prepare_domain`; or an archive is missing, damaged, of another data set, or needs more
            space than there is; nothing has been written then.
    """
    dataset = _known(name, options)
    finish_replacing(options.output)
    check_numbers(options)
    with opened_members(_places(name, dataset, places)) as members:
        found = dataset.find(members)
        used = [member for file in found.files for member in (file.image, file.label)]
        check_replaceable(
            options.output, options.overwrite, [m.place / m.name if m.place.is_dir() else m.place for m in used]
        )
        make_folder(options.output.absolute().parent)
        _check_space(sum(member.size for member in used), options.output.absolute().parent)
        with scratch_folder(options.output) as folder:
            origins = _unpack(found.files, folder)
            _compare(dataset, found.files, origins)
            splits = {file.split for file in found.files}
            paths = {
                f"{_OPTIONS[split]}{suffix}": [folder / split / kind]
                for split in splits
                for suffix, kind in (("", "images"), ("_labels", "labels"))
            }
            given = {"pixel_size": dataset.pixel_size, "background": found.background, "name": options.name or name}
            try:
                return prepare_domain(dataclasses.replace(options, **paths, **given))  # type: ignore[arg-type]  # names of fields
            except DataError as error:
                raise _with_origin(error, origins) from error


def _known(name: str, options: Preparation) -> PublishedDataset:
    if name not in PUBLISHED:
        raise SettingError(f"dataset is {name!r}; expected one of {', '.join(PUBLISHED)}")
    dataset = PUBLISHED[name]
    own = options.pixel_size
    if own is not None and not math.isclose(own, dataset.pixel_size, rel_tol=TOLERANCE):
        raise SettingError(
            f"pixel_size is {own}, but {dataset.title} has pixels of {dataset.pixel_size:g} nm; leave it out"
        )
    if options.data or any(getattr(options, f"{field}{end}") for field in _OPTIONS.values() for end in ("", "_labels")):
        raise SettingError(f"the archives of {name} hold its images and masks; leave --data, --train and the like out")
    return dataset


def _places(name: str, dataset: PublishedDataset, places: Sequence[Path]) -> list[Path]:
    """Archives as they are; of a folder with archives of the data set those, else the folder."""
    expected = f"expected {' and '.join(dataset.archives)}, or a folder with them"
    if not places:
        raise SettingError(f"no archives of {name}: {expected}")
    found: list[Path] = []
    for place in places:
        other = next((n for n, d in PUBLISHED.items() if n != name and place.name in d.archives), None)
        if other:
            raise DataError(f"{place}: is an archive of {other}, not of {name}; {expected}")
        inside = [place / archive for archive in dataset.archives if (place / archive).is_file()]
        found += inside or [place]
    return list(dict.fromkeys(found))


def _check_space(size: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise DataError(
            f"{folder}: unpacking needs {size / 1e9:.1f} GB for a while, but {free / 1e9:.1f} GB are free; choose "
            "another output, or name a folder in which the archives are unpacked already"
        )


def _unpack(files: Sequence[FoundFile], folder: Path) -> dict[str, Member]:
    """Write ``SPLIT/images/NAME`` and ``SPLIT/labels/NAME``; returns what each path comes from."""
    origins: dict[str, Member] = {}
    size = sum(file.image.size + file.label.size for file in files)
    with tqdm(total=size, unit="B", unit_scale=True, desc="unpacking", disable=None if size else True) as progress:
        for file in files:
            for kind, member in (("images", file.image), ("labels", file.label)):
                path = folder / file.split / kind / f"{file.name}{suffix_of(member.name)}"
                path.parent.mkdir(parents=True, exist_ok=True)
                unpack(member, path, progress.update)
                origins[str(path)] = member
    return origins


def _compare(dataset: PublishedDataset, files: Sequence[FoundFile], origins: dict[str, Member]) -> None:
    """Warn where what is there differs from what was published: a part of it, or another data set."""
    for split, count in dataset.sections.items():
        there = sum(file.split == split for file in files)
        if there != count:
            logger.warning("%s: %d sections of the %s split, of %d published", dataset.title, there, split, count)
    first, member = next(iter(origins.items()))
    try:
        size = read_header(first).size
    except DataError as error:
        raise _with_origin(error, origins) from error
    if size != dataset.section_size:
        logger.warning(
            "%s: sections of %d x %d pixels (width x height), but %s has %d x %d: is it this data set?",
            member,
            *size,
            dataset.title,
            *dataset.section_size,
        )


def _with_origin(error: DataError, origins: dict[str, Member]) -> DataError:
    """The same error, naming the file of an archive where it names what was unpacked."""
    message = str(error)
    for path, member in origins.items():
        message = message.replace(path, str(member))
    return type(error)(message)
