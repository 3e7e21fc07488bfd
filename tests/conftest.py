"""Domains small enough to train on within a second, for tests of whole commands."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

WIDTH, HEIGHT = 72, 56
TRAINING, TEST = 3, 2


class DomainPair(NamedTuple):
    source: Path
    target: Path


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Threads that wait for each other cost more than such small tensors gain."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def domain_pair(tmp_path_factory) -> DomainPair:
    """A source and a target folder: dark discs on a noisy ground, darker and blurrier in the target."""
    root = tmp_path_factory.mktemp("domains")
    return DomainPair(write_domain(root / "source", 0, 90), write_domain(root / "target", 1, 60))


def write_domain(folder: Path, seed: int, contrast: float) -> Path:
    """Three training and two test images with labels, points_15.json and points_100.json."""
    random = np.random.default_rng(seed)
    lists: dict[str, list] = {"training": [], "test": []}
    clicks: dict[str, list] = {}
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for split, count in (("training", TRAINING), ("test", TEST)):
        for i in range(count):
            name = f"{split}_{i}.png"
            image, mask, centres = section(random, contrast)
            Image.fromarray(image).save(folder / "images" / name)
            Image.fromarray(mask).save(folder / "labels" / name)
            lists[split].append({"image": f"images/{name}", "label": f"labels/{name}"})
            clicks[f"images/{name}"] = centres
    (folder / "datalist.json").write_text(json.dumps({"name": folder.name, "pixel_size": 20.0, **lists}))
    for percent, share in ((15, 1), (100, None)):
        points = {name: {"points": centres[:share]} for name, centres in clicks.items()}
        (folder / f"points_{percent}.json").write_text(json.dumps({"complete": percent == 100, "points": points}))
    return folder


def section(random: np.random.Generator, contrast: float) -> tuple[np.ndarray, np.ndarray, list[list[int]]]:
    """Image and mask (HEIGHT, WIDTH) uint8, and the centres [x, y] of its three discs, one in each third."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    centres = [[int(random.integers(24 * i + 9, 24 * i + 15)), int(random.integers(10, HEIGHT - 10))] for i in range(3)]
    inside = np.any([(x - a) ** 2 + (y - b) ** 2 <= 7**2 for a, b in centres], axis=0)
    image = 160 - contrast * inside + random.normal(0, 12, inside.shape)
    return image.clip(0, 255).astype(np.uint8), (255 * inside).astype(np.uint8), centres
