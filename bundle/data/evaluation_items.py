"""Items of an evaluation: each image without clicks, and again with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bundle import keys
from bundle.data.domain_folder import load_domain
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
        Items as :func:`load_domain` gives them, with ``mode`` added; the automatic ones first.

    Raises:
        DataError: as :func:`load_domain` does; or an image lacks the label that is needed.
    """
    automatic = [{**item, keys.MODE: "automatic"} for item in load_domain(folder, split)]
    bare = next((item[keys.IMAGE] for item in automatic if keys.LABEL not in item), None)
    if need_labels and bare is not None:
        raise DataError(f"{bare}: has no label; the split {split!r} cannot be validated on. Set val_interval to 0")
    if points is None:
        return automatic
    return automatic + [{**item, keys.MODE: "interactive"} for item in load_domain(folder, split, points, **limits)]
