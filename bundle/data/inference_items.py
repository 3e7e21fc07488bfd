"""Items of an inference: the images to segment, with their clicks."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bundle.data.domain_folder import DATALIST, load_domain, read_datalist
from bundle.data.image_files import SUFFIXES, read_section_header
from bundle.data.input_files import find_input_files
from bundle.data.pixel_size import image_pixel_size as resolve_pixel_size
from bundle.data.pixel_size import unknown_pixel_size
from bundle.data.points import Clicks, check_inside, read_points
from bundle.data.resampling import resampled_size
from bundle.data.result_files import RESULTS, TABLE, check_results, result_path
from bundle.errors import DataError
from bundle.keys import IMAGE, PIXEL_SIZE, POINT_LABELS, POINTS

logger = logging.getLogger(__name__)


def inference_items(
    path: str | Path,
    output_dir: str | Path,
    split: str = "test",
    points: str | Path | None = None,
    foreground: Sequence[Sequence[float]] = (),
    background: Sequence[Sequence[float]] = (),
    resume: bool = False,
    image_pixel_size: float | None = None,
    pixel_size: float | None = None,
) -> list[dict[str, Any]]:
    """List the images to segment, after every check that can be made without reading pixels.

    Args:
        path: one image, a folder of images (without its subfolders), or a domain folder or its ``datalist.json``.
        output_dir: folder of the results.
        split: ``training``, ``validation`` or ``test``; only a domain folder has them.
        points: points file, see :func:`bundle.data.points.read_points`; one that does not exist is looked for in the
            domain folder. None for no clicks.
        foreground: (x, y) in pixels of further foreground clicks, for a single image.
        background: the same for background clicks.
        resume: leave out the images whose results all exist, whatever settings made them. None are left out where
            there is no table of them.
        image_pixel_size: nanometres per pixel of the images, as a person says, where neither their files tell (see
            :func:`bundle.data.image_files.read_header`) nor their domain; None where nothing is said.
        pixel_size: nanometres per pixel that the network works at; None for unknown, then those of the images may be.

    Returns:
        A dictionary for each image: ``image`` (absolute path), ``points`` ([x, y] in pixels, integers),
        ``point_labels`` (1 foreground, 0 background), and ``pixel_size`` (nanometres per pixel of the image) where it
        is known. Empty only when there is nothing left to resume.

    Raises:
        DataError: something is missing or malformed, an image is no single gray section, a click lies outside of its
            image, a result would take the place of another one or of an input, two files contradict each other about
            a pixel size, or nobody tells one that is needed.
        SettingError: ``image_pixel_size`` is no number above 0, or contradicts a file.
    """
    path = Path(path).absolute()
    items = _domain_items(path, split, points) if domain_folder_of(path) else _image_items(path, points)
    _add_clicks(items, Clicks(*_given_clicks(foreground, background)))
    domain = domain_folder_of(path)
    listed = {} if domain is None else {str(domain / DATALIST): read_datalist(domain)["pixel_size"]}
    for item in items:
        item.update(_checked(item, listed, image_pixel_size, pixel_size))
    images = [item[IMAGE] for item in items]
    check_results(images, Path(output_dir).absolute())
    return _unfinished(items, output_dir) if resume else items


def domain_folder_of(path: Path) -> Path | None:
    """The domain folder that ``path``, the folder itself or its list, stands for; None for anything else."""
    folder = path.parent if path.name == DATALIST else path
    return folder if (folder / DATALIST).is_file() else None


def _domain_items(path: Path, split: str, points: str | Path | None) -> list[dict[str, Any]]:
    folder = domain_folder_of(path) or path
    found = Path(points).absolute() if points is not None and Path(points).is_file() else points
    items = load_domain(folder, split, found, labels=False)
    return [{key: item[key] for key in (IMAGE, POINTS, POINT_LABELS)} for item in items]


def _image_items(path: Path, points: str | Path | None) -> list[dict[str, Any]]:
    if not path.exists():
        raise DataError(
            f"{path}: no such file or folder; dataset_dir is an image ({', '.join(SUFFIXES)}), a folder of images, or "
            f"a domain folder with its {DATALIST}"
        )
    images = [str(file.image) for file in find_input_files([path])]
    clicks = {} if points is None else read_points(points, images).clicks
    found = [clicks.get(image, Clicks([], [])) for image in images]
    return [{IMAGE: image, POINTS: c.points, POINT_LABELS: c.labels} for image, c in zip(images, found, strict=True)]


def _given_clicks(foreground: Any, background: Any) -> tuple[list[list[int]], list[int]]:
    points = [_pixel(point, name) for name, given in _named(foreground, background) for point in given]
    return points, [1] * len(foreground or ()) + [0] * len(background or ())


def _named(foreground: Any, background: Any) -> Iterable[tuple[str, Sequence[Any]]]:
    for name, given in (("foreground", foreground), ("background", background)):
        if not isinstance(given or (), list | tuple):
            raise DataError(f"{name} is {given!r}; expected a list of clicks [[x, y], ...]")
        yield name, given or ()


def _pixel(point: Any, name: str) -> list[int]:
    try:
        x, y = (math.floor(float(number)) for number in point)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{name} click {point!r}; expected [x, y] in pixels, so [[x, y], ...] for the list") from None
    return [x, y]


def _add_clicks(items: list[dict[str, Any]], clicks: Clicks) -> None:
    if clicks.points and len(items) != 1:
        raise DataError(
            f"foreground and background are clicks in a single image, but there are {len(items)}; give a points file"
        )
    for item in items:
        item[POINTS] = item[POINTS] + clicks.points
        item[POINT_LABELS] = item[POINT_LABELS] + clicks.labels


def _checked(
    item: dict[str, Any], listed: dict[str, float | None], given: float | None, needed: float | None
) -> dict[str, float]:
    """Check the header of an image; returns its pixel size under its key, if it is known."""
    image, header = item[IMAGE], read_section_header(item[IMAGE])
    check_inside("points", image, item[POINTS], header.size)
    own = resolve_pixel_size({image: header.pixel_size, **listed}, given)
    if own is None and needed is not None:
        raise unknown_pixel_size(image)
    if own is not None and needed is not None:
        try:
            resampled_size(header.size, own / needed)
        except DataError as error:
            raise DataError(f"{image}: {error}") from None
    return {} if own is None else {PIXEL_SIZE: own}


def _unfinished(items: list[dict[str, Any]], output_dir: str | Path) -> list[dict[str, Any]]:
    if not (Path(output_dir) / TABLE).is_file():  # results of an older version, which are not in the table
        return items
    left = [item for item in items if not all(result_path(item[IMAGE], r, output_dir).is_file() for r in RESULTS)]
    logger.info("%d of %d images have results in %s and are left out", len(items) - len(left), len(items), output_dir)
    return left
