"""What the caches of both domains hold of a section."""

from __future__ import annotations

import gc
import json
import pickle
import resource
from pathlib import Path

import numpy as np
from monai.bundle import ConfigParser
from monai.data import CacheDataset
from PIL import Image

from bundle.synthetic import random_style, render
from scripts.benchmarks.configs import read_config

TILE = 512
"""Side in pixels of the tissue that a section is made of, so that rendering does not take longer than caching."""


def write_sections(folder: Path, count: int, size: int, pixel_size: float) -> Path:
    """Write a domain folder of sections with masks and a point on each instance, as dense as tissue is.

    Args:
        folder: to be made.
        count: of sections.
        size: their side in pixels.
        pixel_size: nanometres.

    Returns:
        The folder.
    """
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    rng = np.random.default_rng(0)
    items, points, times = [], {}, -(-size // TILE)
    for number in range(count):
        gray, instances = render(random_style(rng), (TILE, TILE), pixel_size, rng)
        name = f"{number}.png"
        # Noise of its own on each section: a repeated tile would look emptier than a section is.
        tiled = np.tile(np.asarray(gray), (times, times))[:size, :size] + rng.normal(0, 4, (size, size))
        Image.fromarray(tiled.clip(0, 255).astype(np.uint8)).save(folder / "images" / name)
        mask = np.tile(np.asarray(instances) > 0, (times, times))[:size, :size]
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "labels" / name)
        items.append({"image": f"images/{name}", "label": f"labels/{name}"})
        points[f"images/{name}"] = {"points": _points(np.asarray(instances), size)}
    (folder / "datalist.json").write_text(json.dumps({"name": "sections", "pixel_size": pixel_size, "training": items}))
    (folder / "points.json").write_text(json.dumps({"complete": False, "points": points}))
    return folder


def _points(instances: np.ndarray, size: int) -> list[list[int]]:
    """A point (x, y) on every seventh instance of a tiled section, about 15 %, one where a tile has fewer."""
    _, first = np.unique(instances, return_index=True)
    rows, columns = np.unravel_index(first[1::7], instances.shape)
    return [
        [int(column + left), int(row + top)]
        for top in range(0, size, TILE)
        for left in range(0, size, TILE)
        for row, column in zip(rows, columns, strict=True)
        if column + left < size and row + top < size
    ]


def build_cache(folder: Path, domain: str) -> CacheDataset:
    """Cache the sections of a domain as the configuration of stage 1 does.

    Args:
        folder: of :func:`write_sections`.
        domain: ``source``, with labels, or ``train``, the target with its points.

    Returns:
        The data set.
    """
    config: ConfigParser = read_config()
    config.update({"dataset_dir": str(folder), "source_dir": str(folder), "points": "points.json"})
    if domain == "train":
        config["source::dataset"] = []
    dataset: CacheDataset = config.get_parsed_content(f"{domain}::dataset")
    return dataset


def held_bytes(dataset: CacheDataset) -> int:
    """Bytes of all that the cache of a data set holds."""
    return sum(len(pickle.dumps(item, protocol=pickle.HIGHEST_PROTOCOL)) for item in dataset._cache)


def resident_bytes() -> int:
    """Memory in bytes that the operating system has given this process, as Linux tells it; 0 elsewhere."""
    gc.collect()
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[1]) * resource.getpagesize() if pages.is_file() else 0
