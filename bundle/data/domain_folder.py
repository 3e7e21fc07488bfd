"""Domain folders: the images of one domain, their masks if there are any, and points files.

A folder holds ``images/``, optionally ``labels/`` and any number of points files, and ``datalist.json`` in MONAI's
decathlon form: ``{"name": "vnc", "pixel_size": 20.0, "training": [{"image": "images/train_000.png", "label":
"labels/train_000.png"}], "validation": [], "test": [...]}``. ``pixel_size`` is in nanometres, or null if unknown.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.data.image_files import ImageHeader, read_section_header
from bundle.data.points import Clicks, PointsFile, check_inside, crowded, read_points
from bundle.errors import DataError
from bundle.json_files import read_json, write_json
from bundle.keys import COMPLETE, IMAGE, LABEL, PIXEL_SIZE, POINT_LABELS, POINTS

DATALIST = "datalist.json"
SYNTHETIC = "synthetic"
"""Stands in the place of a source's folder for tissue that is rendered, see :func:`bundle.synthetic.source_items`."""
SPLITS = ("training", "validation", "test")


def load_domain(
    folder: str | Path,
    split: str,
    points: str | Path | None = None,
    labels: bool = True,
    window: Sequence[int] | None = None,
    max_points: int | None = None,
) -> list[dict[str, Any]]:
    """List the items of one split, after every check that can be made without reading pixels.

    Args:
        folder: domain folder.
        split: ``training``, ``validation`` or ``test``.
        points: points file, relative to the folder or absolute; None for no clicks.
        labels: list the masks too. If False they are neither read nor checked.
        window: size of the network's window in pixels, to check how many clicks it can hold; None for no check.
        max_points: largest number of clicks in one window; None for no check.

    Returns:
        A dictionary for each image: ``image`` and, where listed, ``label`` (absolute paths), ``points`` ([x, y] in
        pixels, integers), ``point_labels`` (1 foreground, 0 background), ``complete`` (bool).

    Raises:
        DataError: folder, list, split or a file is missing or malformed; an image is no single section; a label's size
            is not its image's; a points file names an unknown image or a point outside of its image, or crowds more
            than ``max_points`` in a window.
    """
    folder = Path(folder).absolute()
    datalist = read_datalist(folder)
    if split not in SPLITS or not datalist[split]:
        filled = ", ".join(name for name in SPLITS if datalist[name])
        raise DataError(f"{folder / DATALIST}: no split {split!r} with images in it; it has: {filled or 'none'}")
    found = PointsFile({}, False)
    if points is not None:
        found = read_points(folder / points, [entry[IMAGE] for name in SPLITS for entry in datalist[name]])
    items = [_item(folder, entry, found, folder / (points or ""), labels) for entry in datalist[split]]
    if window is not None and max_points is not None:
        check_crowding(items, max(window), max_points)
    return items


def read_datalist(folder: str | Path) -> dict[str, Any]:
    """Read the list of a domain folder.

    Args:
        folder: domain folder.

    Returns:
        ``name``, ``pixel_size`` (nm or None), and for each of `SPLITS` a list, perhaps empty, of ``{"image": path}``
        or ``{"image": path, "label": path}``, relative to the folder.

    Raises:
        DataError: the folder or its list is missing or malformed.
    """
    path = Path(folder) / DATALIST
    if not Path(folder).is_dir():
        raise DataError(f"{folder}: no such folder; python -m scripts.prepare_data makes domain folders")
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected an object with the lists {', '.join(SPLITS)}, got {str(content)[:80]}")
    splits = {split: content.get(split, []) for split in SPLITS}
    for split, entries in splits.items():
        if not isinstance(entries, list) or not all(map(_is_entry, entries)):
            raise DataError(
                f'{path}: {split}: expected a list of {{"image": path}}, with "label": path where it has one'
            )
    pixel_size = content.get("pixel_size")
    number = isinstance(pixel_size, int | float) and not isinstance(pixel_size, bool)
    if pixel_size is not None and not (number and pixel_size > 0):
        raise DataError(f"{path}: pixel_size is {pixel_size!r}; expected nanometres per pixel, or null if unknown")
    return {"name": content.get("name", Path(folder).name), "pixel_size": pixel_size, **splits}


def write_datalist(
    folder: str | Path, name: str, pixel_size: float | None, splits: Mapping[str, Sequence[Mapping[str, str]]]
) -> None:
    """Write the list of a domain folder, atomically.

    Args:
        folder: domain folder.
        name: name of the domain.
        pixel_size: nanometres per pixel of its files, or None if unknown.
        splits: the entries of each split, as `read_datalist` returns them; a split left out is empty.
    """
    lists = {split: [dict(entry) for entry in splits.get(split, ())] for split in SPLITS}
    write_json(Path(folder) / DATALIST, {"name": name, "pixel_size": pixel_size, **lists})


def check_crowding(
    items: Sequence[Mapping[str, Any]], window: int, max_points: int, pixel_size: float | None = None
) -> None:
    """Refuse images in which a window can hold more clicks than the network takes.

    Args:
        items: items of `load_domain` or :func:`bundle.data.inference_items`.
        window: side of the square window in pixels.
        max_points: largest number of clicks in one window.
        pixel_size: nanometres per pixel of the window; items whose ``pixel_size`` is another are resampled to it.
            None: those of the items.

    Raises:
        DataError: names the image, the number and the remedy.
    """
    for item in items:
        scale = 1.0 if pixel_size is None else item.get(PIXEL_SIZE, pixel_size) / pixel_size
        count = crowded([[int((v + 0.5) * scale) for v in point] for point in item[POINTS]], (window, window))
        if count > max_points:
            raise DataError(
                f"{item[IMAGE]}: {count} clicks lie in one window of {window} x {window} pixels, but max_points is "
                f"{max_points}. Set max_points to {count} or more, use a smaller window, or give fewer clicks"
            )


def check_replaceable(output: Path, overwrite: bool, inputs: Iterable[Path]) -> None:
    """Refuse an output folder that would destroy something.

    Args:
        output: folder to be written; it may be missing or empty.
        overwrite: a domain folder may be replaced.
        inputs: files that must not be inside of it.

    Raises:
        DataError: the folder is in use, is no domain folder, or holds an input.
    """
    if output.exists() and not output.is_dir():
        raise DataError(f"{output}: is a file; expected a folder to write to")
    if not output.exists() or not any(output.iterdir()):
        return
    if not overwrite:
        raise DataError(f"{output}: is not empty; choose another output, or replace it with --overwrite")
    if not (output / DATALIST).is_file():
        raise DataError(f"{output}: holds no {DATALIST}, so it is no domain folder and is not overwritten")
    for file in inputs:
        if file.resolve().is_relative_to(output.resolve()):
            raise DataError(f"{file}: is an input inside of the output {output}; choose another output")


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get(IMAGE), str) and isinstance(entry.get(LABEL, ""), str)


def _item(folder: Path, entry: Mapping[str, str], found: PointsFile, file: Path, labels: bool) -> dict[str, Any]:
    image = folder / entry[IMAGE]
    header = read_section_header(image)
    clicks = found.clicks.get(entry[IMAGE], Clicks([], []))
    check_inside(file, str(image), clicks.points, header.size)
    item: dict[str, Any] = {IMAGE: str(image)}
    if labels and LABEL in entry:
        item[LABEL] = str(_checked_label(folder / entry[LABEL], image, header))
    return item | {POINTS: clicks.points, POINT_LABELS: clicks.labels, COMPLETE: found.complete}


def _checked_label(label: Path, image: Path, header: ImageHeader) -> Path:
    size = read_section_header(label).size
    if size != header.size:
        raise DataError(f"{label}: is {size} pixels (width, height), but its image {image} is {header.size}")
    return label
