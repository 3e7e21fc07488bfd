"""Summary of a list of training items: one line that changes when the list does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bundle.keys import IMAGE, LABEL, POINTS


def summarize_items(items: Iterable[Mapping[str, Any]]) -> str:
    """Summarise the images, labels and clicks that a run learns from.

    Args:
        items: as :func:`bundle.data.load_domain` lists them. Of paths, the names of file and folder count: a domain
            folder may be moved.

    Returns:
        Such as ``3 images, 7 clicks, 1f0c5a92b3d4``; the last part is of the SHA-256 of the list.
    """
    entries = [
        {name: "/".join(Path(value).parts[-2:]) if name in (IMAGE, LABEL) else value for name, value in item.items()}
        for item in items
    ]
    clicks = sum(len(entry.get(POINTS, ())) for entry in entries)
    digest = hashlib.sha256(json.dumps(entries, sort_keys=True, default=str).encode()).hexdigest()
    return f"{len(entries)} images, {clicks} clicks, {digest[:12]}"
