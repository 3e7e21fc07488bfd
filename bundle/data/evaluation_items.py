"""Items of an evaluation: each image without clicks, and again with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bundle import keys
from bundle.data.domain_folder import load_domain, read_datalist
from bundle.data.image_files import read_section_header
from bundle.errors import DataError


def evaluation_items(
    folder: str | Path, split: str, points: str | Path | None = None, need_labels: bool = False, **limits: Any
) -> list[dict[str, Any]]:
    """Items of a split for the automatic mode, and for the interactive mode when there are points.

    Args:
        folder: domain folder.
        split: ``training``, ``validation`` or ``test``.
        points: points file of the domain, or None for the automatic mode alone.
        need_labels: refuse images without a label.
        limits: ``window`` and ``max_points`` of :func:`load_domain`.

    Returns:
        Items as :func:`load_domain` gives them, with ``mode`` added, and ``native_label`` (absolute path) and
        ``native_pixel_size`` where the datalist has them; the automatic ones first.

    Raises:
        DataError: as :func:`load_domain` does; or an image lacks the label that is needed; or a native label cannot be
            read.
    """
    found = load_domain(folder, split)
    native = [_native(Path(folder).absolute(), entry) for entry in read_datalist(folder)[split]]
    automatic = [{**item, **n, keys.MODE: "automatic"} for item, n in zip(found, native, strict=True)]
    bare = next((item[keys.IMAGE] for item in automatic if keys.LABEL not in item), None)
    if need_labels and bare is not None:
        raise DataError(f"{bare}: has no label; the split {split!r} cannot be validated on. Set val_interval to 0")
    if points is None:
        return automatic
    clicked = load_domain(folder, split, points, **limits)
    return automatic + [{**item, **n, keys.MODE: "interactive"} for item, n in zip(clicked, native, strict=True)]


def _native(folder: Path, entry: dict[str, Any]) -> dict[str, Any]:
    """The mask of an entry on the grid that its image had before it was resampled, where it has one."""
    if keys.NATIVE_LABEL not in entry:
        return {}
    label = folder / entry[keys.NATIVE_LABEL]
    read_section_header(label)
    return {keys.NATIVE_LABEL: str(label)} | {name: entry[name] for name in (keys.NATIVE_PIXEL_SIZE,) if name in entry}
