"""Pictures of an evaluation: true positives, false positives and false negatives in colour."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from PIL import Image
from skimage.segmentation import find_boundaries

from bundle import keys
from bundle.atomic import make_folder, replacing
from bundle.channels import clicks_of, em_of
from bundle.data.image_files import stem

# Okabe and Ito's palette, which colour-blind people can tell apart.
AGREED, INVENTED, MISSED = (0, 158, 115), (213, 94, 0), (86, 180, 233)
FOREGROUND_CLICK, BACKGROUND_CLICK = (240, 228, 66), (204, 121, 167)


def gray(image: np.ndarray) -> np.ndarray:
    """Turn an image (X,Y) of any range into a picture (Y,X,3) in [0,1]; percentiles 1 and 99 become black and white."""
    low, high = np.percentile(image, (1, 99))
    scaled = np.clip((image - low) / max(high - low, 1e-6), 0, 1)
    return np.repeat(scaled.T[..., None], 3, axis=2)


def paint(picture: np.ndarray, where: np.ndarray, colour: tuple[int, int, int], opacity: float) -> None:
    """Colour pixels of a picture (Y,X,3) in place, ``where`` being (Y,X) bool."""
    picture[where] = (1 - opacity) * picture[where] + opacity * np.array(colour) / 255


def overlay(image: np.ndarray, mask: np.ndarray | None, truth: np.ndarray | None, scale: int = 2) -> np.ndarray:
    """Draw a mask on an image.

    With a truth, pixels of both are green, of the mask alone orange, of the truth alone blue; without one the mask is
    green. The border of the mask is drawn solid.

    Args:
        image: (X,Y).
        mask: (X,Y) bool, or None for the truth alone, in green.
        truth: (X,Y) bool, or None.
        scale: pixels of the picture per pixel of the image, along each axis.

    Returns:
        (Y*scale, X*scale, 3) in [0,1].
    """
    picture = _enlarged(gray(image), scale)
    if mask is None:
        mask, truth = truth, None
    if mask is None:
        return picture
    drawn = _enlarged(mask.T, scale)
    real = drawn if truth is None else _enlarged(truth.T, scale)
    for where, colour in ((drawn & real, AGREED), (drawn & ~real, INVENTED), (real & ~drawn, MISSED)):
        paint(picture, where, colour, 0.4)
        paint(picture, where & find_boundaries(drawn | real, mode="inner"), colour, 1.0)
    return picture


def draw_clicks(picture: np.ndarray, clicks: np.ndarray, scale: int = 2) -> None:
    """Draw clicks (2,X,Y) as discs, foreground yellow and background purple, on a picture (Y,X,3) in place."""
    radius = 2 * scale
    y, x = np.ogrid[: picture.shape[0], : picture.shape[1]]
    for channel, colour in zip(clicks, (FOREGROUND_CLICK, BACKGROUND_CLICK), strict=True):
        for cx, cy in np.argwhere(channel > 0.5):
            distance = np.hypot(y - (cy + 0.5) * scale, x - (cx + 0.5) * scale)
            paint(picture, distance <= radius + 1, (0, 0, 0), 1.0)
            paint(picture, distance <= radius, colour, 1.0)


def _enlarged(array: np.ndarray, scale: int) -> np.ndarray:
    return array.repeat(scale, axis=0).repeat(scale, axis=1)


class EvaluationPictures:
    """Ignite handler that draws some images of an evaluation, spread over the split, into ``<output_dir>/pictures``.

    For each of them ``<stem>_image.png``, ``<stem>_truth.png`` where there is a label, and ``<stem>_<mode>.png`` with
    the clicks that the mode was given.

    Args:
        output_dir: folder of the evaluation.
        count: images to draw.
        scale: pixels of the picture per pixel of the image, along each axis.
    """

    ahead_of = ("TrackedRun", "TrackedValidation")

    def __init__(self, output_dir: str | os.PathLike[str], count: int = 4, scale: int = 2) -> None:
        self.folder = Path(output_dir) / "pictures"
        self.count = count
        self.scale = scale
        self.chosen: set[str] = set()

    def attach(self, engine: Engine) -> None:
        """Register on an evaluator whose data set has the list of its items as ``data``."""
        engine.add_event_handler(Events.STARTED, self.choose)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.draw)

    def choose(self, engine: Any) -> None:
        """On STARTED: choose the images."""
        names = list(dict.fromkeys(item[keys.IMAGE] for item in engine.data_loader.dataset.data))
        picks = np.linspace(0, len(names) - 1, min(self.count, len(names)))
        self.chosen = {names[round(i)] for i in picks}
        make_folder(self.folder)

    def draw(self, engine: Any) -> None:
        """On ITERATION_COMPLETED: draw the batch's images that were chosen."""
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            if item[keys.IMAGE].meta["filename_or_obj"] in self.chosen:
                self._draw_item(item, output)

    def _draw_item(self, item: dict[str, Any], output: dict[str, Any]) -> None:
        em, clicks = _array(em_of(item[keys.IMAGE]))[0], _array(clicks_of(item[keys.IMAGE]))
        name = stem(item[keys.IMAGE].meta["filename_or_obj"])
        label = item.get(keys.LABEL)
        truth = None if label is None else _array(label)[0] > 0
        picture = overlay(em, _array(output[keys.PRED])[0] > 0, truth, self.scale)
        draw_clicks(picture, clicks, self.scale)
        self._write(f"{name}_{item[keys.MODE]}", picture)
        self._write(f"{name}_image", overlay(em, None, None, self.scale))
        if truth is not None:
            self._write(f"{name}_truth", overlay(em, None, truth, self.scale))

    def _write(self, name: str, picture: np.ndarray) -> None:
        with replacing(self.folder / f"{name}.png") as partial:
            Image.fromarray((picture * 255).round().astype(np.uint8)).save(partial, format="PNG")


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
