"""A few images on disk, and candidates made by hand, for tests of what happens to judgements."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import Dataset
from torch import nn

from bundle import keys as K
from bundle.preferences.candidates.files import CandidateSet, file_sha256, write_candidates

SHAPE = (24, 16)
REGIONS = "grid:8"
COUNT = 6  # of regions of an image
BLOCK = np.arange(SHAPE[0])[:, None] // 8 + np.arange(SHAPE[1]) // 8 * 3


class HandMade:
    """Three candidates: number k is the truth in the regions k and k + 3, and its opposite elsewhere."""

    def __init__(self) -> None:
        self.made: list[tuple[str, float]] = []

    def __call__(
        self, policy: nn.Module, others: Mapping[str, nn.Module], image: torch.Tensor, key: str = ""
    ) -> tuple[np.ndarray, list[str], np.ndarray]:
        self.made.append((key, next(policy.parameters()).item()))
        return candidates_of(truth_of(image[0].numpy())), ["as it is", "b", "c"], np.full(SHAPE, 0.5, np.float32)


def truth_of(em: np.ndarray) -> np.ndarray:
    """(X,Y) bool: where an image is bright."""
    return em > 0


def candidates_of(truth: np.ndarray) -> np.ndarray:
    """(3,X,Y) bool."""
    return np.stack([np.where(k == BLOCK % 3, truth, ~truth) for k in range(3)])


def dataset(folder: Path, count: int = 2, labels: bool = True) -> Dataset:
    """Images ``a.npy``, ``b.npy``, ... and their truth; an item is read from them when it is asked for."""
    items = []
    for i in range(count):
        image, label = folder / f"{'abcdef'[i]}.npy", folder / f"{'abcdef'[i]}_truth.npy"
        em = np.random.default_rng(i).normal(size=SHAPE).astype(np.float32)
        np.save(image, em)
        np.save(label, truth_of(em).astype(np.uint8))
        item = {K.IMAGE: str(image), K.POINTS: [[3, 4]], K.POINT_LABELS: [1]}
        items.append({**item, K.LABEL: str(label)} if labels else item)
    return Dataset(items, read)


def read(item: dict[str, Any]) -> dict[str, Any]:
    """An item with its image (3,X,Y) and, where listed, its label (1,X,Y)."""
    em = torch.from_numpy(np.load(item[K.IMAGE]))[None]
    found = {**item, K.IMAGE: torch.cat((em, torch.zeros(2, *SHAPE)))}
    if K.LABEL in item:
        found[K.LABEL] = torch.from_numpy(np.load(item[K.LABEL]))[None]
    return found


def write(file: Path, masks: np.ndarray, image: Path | None = None) -> Path:
    """Write a file of candidates (K,X,Y) of an image."""
    made = [f"way {k}" for k in range(len(masks))]
    about = (str(image), file_sha256(image)) if image is not None else ("a.npy", "hash")
    probability = np.full(masks.shape[1:], 0.5, np.float32)
    write_candidates(file, CandidateSet(*about, masks, made, probability, "model"))
    return file
