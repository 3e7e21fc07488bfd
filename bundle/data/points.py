"""Points files: the clicks in each image, as JSON or CSV; and the largest number of clicks in a window."""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bundle.data.image_files import stem
from bundle.errors import DataError
from bundle.json_files import read_json, write_json
from bundle.keys import COMPLETE, POINT_LABELS, POINTS

LARGEST = 1 << 20
"""Pixels along an axis; no image is larger."""


class Clicks(NamedTuple):
    """The clicks in one image.

    Attributes:
        points: [x, y] of each click, whole pixels, x the column.
        labels: 1 (foreground) or 0 (background) of each click.
    """

    points: list[list[int]]
    labels: list[int]


class PointsFile(NamedTuple):
    """The content of a points file.

    Attributes:
        clicks: clicks of each image that has any, by the image's path as the datalist spells it.
        complete: every instance of every training image was clicked, so what has no click is background.
    """

    clicks: dict[str, Clicks]
    complete: bool


def read_points(path: str | Path, images: Iterable[str]) -> PointsFile:
    """Read a points file and find the image of every click.

    JSON: ``{"complete": false, "points": {"images/train_000.png": {"points": [[x, y], ...], "point_labels":
    [1, ...]}}}``, where ``point_labels`` is optional (all 1). CSV: header ``image,x,y`` or ``image,x,y,label``, never
    complete. A position names the pixel that holds it: fractions are cut off.

    Args:
        path: file with suffix ``.csv``, or JSON.
        images: paths of all known images. A file may name them in full, by their last folders, by file name or by stem.

    Returns:
        The clicks, in the order of the file, and whether they are complete.

    Raises:
        DataError: the file is missing or malformed, a position is not finite or in no image, a label is not 0 or 1, or
            an image is unknown or ambiguous.
    """
    path = Path(path)
    rows, complete = (_csv_rows(path), False) if path.suffix.lower() == ".csv" else _json_rows(path)
    find = _ImageNames(path, images)
    clicks: dict[str, Clicks] = {}
    for name, x, y, label in rows:
        found = clicks.setdefault(find(name), Clicks([], []))
        point, point_label = _click(path, name, x, y, label)
        found.points.append(point)
        found.labels.append(point_label)
    return PointsFile(clicks, complete)


def write_points(
    path: str | Path, clicks: Mapping[str, Clicks], complete: bool, exported: Mapping[str, Any] | None = None
) -> None:
    """Write a points file as JSON, atomically.

    Args:
        path: file to write; its folder must exist.
        clicks: clicks of each image, by the image's path as the datalist spells it.
        complete: every instance of every training image was clicked.
        exported: note on where the clicks come from; :func:`read_points` ignores it.
    """
    entries = {image: {POINTS: found.points, POINT_LABELS: found.labels} for image, found in clicks.items()}
    about = {} if exported is None else {"exported": dict(exported)}
    write_json(path, {COMPLETE: complete, **about, "points": entries})


def check_inside(file: str | Path, image: str, points: Sequence[Sequence[int]], size: tuple[int, int]) -> None:
    """Refuse points outside of their image.

    Args:
        file: that the points come from, for the message.
        image: name of the image, for the message.
        points: (x, y) of each click in pixels.
        size: (width, height) of the image.

    Raises:
        DataError: a point lies outside.
    """
    for x, y in points:
        if not (0 <= x < size[0] and 0 <= y < size[1]):
            raise DataError(
                f"{file}: point ({x}, {y}) lies outside of {image}, which is {size[0]} wide and {size[1]} high. "
                "Points are (x, y), column first, in pixels of that image"
            )


def crowded(points: Sequence[Sequence[int]], window: Sequence[int]) -> int:
    """Return the largest number of points that one axis-parallel window can hold.

    The result is exact: the fullest window can be moved until one point lies in its first column and one in its first
    row, so only such windows are counted. The size of the image does not matter: a window that crosses its border can
    be moved inside.

    Args:
        points: (x, y) of each click in pixels.
        window: (width, height) of the window in pixels.

    Returns:
        The largest number, 0 without points.
    """
    xy = np.asarray(points, dtype=np.int64).reshape(-1, 2)
    most = 0
    for left in np.unique(xy[:, 0]):
        column = np.sort(xy[(xy[:, 0] >= left) & (xy[:, 0] < left + window[0]), 1])
        held = np.searchsorted(column, column + window[1]) - np.arange(len(column))
        most = max(most, int(held.max()))
    return most


class _ImageNames:
    """Finds the image that a name in a points file means."""

    def __init__(self, file: Path, images: Iterable[str]) -> None:
        self.file = file
        self.by_last: dict[str, set[str]] = {}
        for image in images:
            for spelling in (image, image.removesuffix(Path(image).name) + stem(image)):
                self.by_last.setdefault(Path(spelling).name, set()).add(image)
        self.known: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        if name not in self.known:
            self.known[name] = self._find(name)
        return self.known[name]

    def _find(self, name: str) -> str:
        candidates = self.by_last.get(Path(name).name, set())
        if name in candidates:
            return name
        folders = Path(name).parent.parts
        found = sorted(c for c in candidates if not folders or Path(c).parent.parts[-len(folders) :] == folders)
        if len(found) == 1:
            return found[0]
        problem = f"may be any of {', '.join(found[:3])}; write more of its path" if found else "is not in the list"
        raise DataError(f"{self.file}: image {name!r} {problem}")


def _json_rows(path: Path) -> tuple[list[tuple[str, Any, Any, Any]], bool]:
    content = read_json(path)
    entries = content.get("points") if isinstance(content, dict) else None
    complete = content.get(COMPLETE, False) if isinstance(content, dict) else None
    if not isinstance(entries, dict) or not isinstance(complete, bool):
        raise DataError(f'{path}: expected {{"complete": true or false, "points": {{image: {{"points": [[x, y]]}}}}}}')
    return [row for image, entry in entries.items() for row in _entry_rows(path, image, entry)], complete


def _entry_rows(path: Path, image: str, entry: Any) -> Iterator[tuple[str, Any, Any, Any]]:
    points = entry.get(POINTS) if isinstance(entry, dict) else None
    if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise DataError(f'{path}: {image}: expected {{"points": [[x, y], ...]}}, got {str(entry)[:80]}')
    labels = entry.get(POINT_LABELS, [1] * len(points))
    if not isinstance(labels, list) or len(labels) != len(points):
        raise DataError(f"{path}: {image}: expected one of point_labels for each of its {len(points)} points")
    return ((image, x, y, label) for (x, y), label in zip(points, labels, strict=True))


def _csv_rows(path: Path) -> list[tuple[str, Any, Any, Any]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row]
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV ({error})") from None
    header = [cell.lower() for cell in rows[0]] if rows else []
    if header not in (["image", "x", "y"], ["image", "x", "y", "label"]):
        raise DataError(f"{path}: expected the header image,x,y or image,x,y,label, got {','.join(header)!r}")
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise DataError(f"{path}: row {number} has {len(row)} cells, expected {len(header)}: {','.join(row)!r}")
    return [(row[0], row[1], row[2], row[3] if len(row) == 4 and row[3] else 1) for row in rows[1:]]


def _click(path: Path, image: str, x: Any, y: Any, label: Any) -> tuple[list[int], int]:
    """Return ([x, y], label) as integers, or say what is wrong with them."""
    try:
        position, number = (float(x), float(y)), float(label)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{path}: {image}: ({x}, {y}) with label {label} are not three numbers") from None
    if not all(map(math.isfinite, position)):
        raise DataError(f"{path}: {image}: point ({x}, {y}) is not finite")
    if not all(abs(number) < LARGEST for number in position):
        raise DataError(f"{path}: {image}: point ({x}, {y}) is in no image; expected pixels, fewer than {LARGEST}")
    if number not in (0, 1):
        raise DataError(f"{path}: {image}: label {label} of point ({x}, {y}) is neither 1 (foreground) nor 0")
    return [math.floor(position[0]), math.floor(position[1])], int(number)
