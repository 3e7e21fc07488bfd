"""Pictures of the images that an evaluation scores worst and best."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from PIL import Image

from bundle import keys
from bundle.atomic import make_folder, replacing
from bundle.channels import em_of
from bundle.data.image_files import stem
from bundle.handlers.evaluation_pictures import overlay

FOLDER = "extremes"


@dataclass(frozen=True)
class _Scored:
    """An image (X,Y) with its mask and truth (X,Y) bool, and the Dice of these."""

    dice: float
    name: str
    em: np.ndarray
    mask: np.ndarray
    truth: np.ndarray


class ExtremePictures:
    """Ignite handler that draws the images of the lowest and of the highest Dice, of those without clicks.

    At the end ``<output_dir>/extremes`` has ``worst_0_<dice>_<stem>.png``, the worst of all, and so on, and
    ``best_0_...``: found is green, made up orange, missed blue, each outlined. Images without a label or without
    any foreground in it are left out, and so is a best image that is among the worst.

    Args:
        output_dir: folder of the evaluation.
        count: images of each kind.
        scale: pixels of the picture per pixel of the image, along each axis.
    """

    ahead_of = ("TrackedRun",)

    def __init__(self, output_dir: str | os.PathLike[str], count: int = 3, scale: int = 2) -> None:
        self.folder = Path(output_dir) / FOLDER
        self.count = count
        self.scale = scale
        self.worst: list[_Scored] = []
        self.best: list[_Scored] = []

    def attach(self, engine: Engine) -> None:
        """Register on an evaluator whose batches are decollated."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.COMPLETED, self.draw)

    def collect(self, engine: Any) -> None:
        """On ITERATION_COMPLETED: keep the images of the batch that are among the extremes so far."""
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            label = item.get(keys.LABEL)
            if label is None or item[keys.MODE] != "automatic":
                continue
            mask, truth = (tensor[0].detach().cpu().numpy() > 0 for tensor in (output[keys.PRED], label))
            if not truth.any():
                continue
            dice = 2 * float((mask & truth).sum()) / float(mask.sum() + truth.sum())
            name = stem(item[keys.IMAGE].meta["filename_or_obj"])
            scored = _Scored(dice, name, em_of(item[keys.IMAGE])[0].detach().cpu().numpy(), mask, truth)
            self.worst = sorted([*self.worst, scored], key=lambda other: other.dice)[: self.count]
            self.best = sorted([*self.best, scored], key=lambda other: -other.dice)[: self.count]

    def draw(self, engine: Engine) -> None:
        """On COMPLETED: draw them, in the place of those of an earlier evaluation."""
        make_folder(self.folder)
        for old in self.folder.glob("*.png"):
            old.unlink()
        best = [scored for scored in self.best if all(scored is not other for other in self.worst)]
        for kind, found in (("worst", self.worst), ("best", best)):
            for place, scored in enumerate(found):
                picture = overlay(scored.em, scored.mask, scored.truth, self.scale)
                path = self.folder / f"{kind}_{place}_{scored.dice:.3f}_{scored.name}.png"
                with replacing(path) as partial:
                    Image.fromarray((picture * 255).round().astype(np.uint8)).save(partial, format="PNG")
