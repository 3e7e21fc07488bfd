"""Clicking: images, the clicks on them, and the masks that these give."""

from __future__ import annotations

import copy
import io
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock, RLock
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from bundle import keys as K
from bundle.annotate.vote_service import Stamp, person, stamp
from bundle.channels import logits_of
from bundle.data.domain_folder import DATALIST, SPLITS, check_crowding, read_datalist
from bundle.data.image_files import read_section_header, stem
from bundle.data.points import Clicks
from bundle.errors import DataError
from bundle.handlers.weights import load_weights
from bundle.inferers import ClickSession, PromptedSlidingWindowInferer
from bundle.networks.promptable_segmenter import PromptableSegmenter
from bundle.preferences.store.click_records import ImageClicks
from bundle.preferences.store.judgement_store import JudgementStore
from bundle.preferences.store.saved_clicks import ExportError, SavedClicks, as_pixels
from bundle.preflight import explain
from bundle.transforms.clicks import click_channels

Which = Literal["start", "trained"]
"""The network that the server was started with, and the one that was trained from the page."""

logger = logging.getLogger(__name__)


class ClickService:
    """The images of one split of a domain folder, opened one after another.

    Args:
        folder: domain folder; images that lie outside of it are refused.
        split: ``training``, ``validation`` or ``test``.
        points: points file, in the folder, to which clicks are exported; made when clicks are first saved. What it
            holds and the store does not is imported, see :class:`bundle.preferences.store.saved_clicks.SavedClicks`.
        store: where clicks are kept.
        load: reads and normalises an image, to (1,X,Y).
        network: the network, in evaluation mode.
        inferer: how images are cut into windows.
        threshold: of the foreground probability.
        sessions: images whose features are kept at a time, for each network.
        settings: which those of weights that are offered must be; None to compare nothing.

    Raises:
        DataError: the folder, the split, an image or the points file cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        split: str,
        points: str,
        store: JudgementStore,
        load: Callable[[str], torch.Tensor],
        network: PromptableSegmenter,
        inferer: PromptedSlidingWindowInferer,
        threshold: float = 0.5,
        sessions: int = 2,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self.points = inside(self.folder, self.folder / points)
        datalist = read_datalist(self.folder)
        if split not in SPLITS or not datalist[split]:
            filled = ", ".join(name for name in SPLITS if datalist[name])
            raise DataError(
                f"{self.folder / DATALIST}: no split {split!r} with images in it; it has: {filled or 'none'}"
            )
        if self.points.suffix.lower() != ".json":
            raise DataError(f"{self.points}: clicks are saved as JSON; name a points file that ends with .json")
        self.names = [entry[K.IMAGE] for entry in datalist[split]]
        self.paths = [inside(self.folder, self.folder / name) for name in self.names]
        self.sizes = [read_section_header(path).size for path in self.paths]
        known = [entry[K.IMAGE] for name in SPLITS for entry in datalist[name]]
        self._saved = SavedClicks(
            store, self.points, self.folder, known, dict(zip(self.names, self.sizes, strict=True))
        )
        self._load = load
        self._networks: dict[Which, PromptableSegmenter] = {"start": network}
        self._settings = settings
        self._inferer = inferer
        self._threshold = threshold
        self._widest = max(inferer.window)
        self._sessions: OrderedDict[tuple[int, Which], tuple[Stamp, ClickSession]] = OrderedDict()
        self._kept = 2 * sessions
        self._reading = Lock()
        self._turn = RLock()
        try:
            self._saved.synchronise()
        except ExportError as error:  # voting works without the clicks
            logger.warning("%s", error)
        self._saved.check_moved()

    def images(self) -> list[dict[str, Any]]:
        """All images: ``name``, ``width`` and ``height`` in pixels, and ``points``, how many clicks are saved."""
        saved = self.clicks_of_all()
        return [
            {
                "name": stem(name),
                "width": width,
                "height": height,
                "points": len(saved[name].points) if name in saved else 0,
            }
            for name, (width, height) in zip(self.names, self.sizes, strict=True)
        ]

    def picture(self, number: int) -> bytes:
        """An image as PNG of 8 bits, darkest at the 0.5th and brightest at the 99.5th percentile."""
        em = self._read(number)[0].cpu().numpy()
        low, high = np.percentile(em, (0.5, 99.5))
        gray = np.clip((em - low) / max(high - low, 1e-6), 0, 1) * 255
        return png(gray.astype(np.uint8))

    def clicks(self, number: int) -> ImageClicks:
        """The saved clicks of an image, and their version."""
        return self._saved.of(self.names[number])

    def clicks_of_all(self) -> dict[str, Clicks]:
        """The saved clicks of all images that have any, by the image's path as the datalist spells it."""
        return self._saved.of_all()

    def save(
        self,
        number: int,
        points: Sequence[Sequence[int]],
        labels: Sequence[int],
        version: int,
        annotator: str,
        uid: str,
    ) -> int:
        """Replace the saved clicks of an image. The points file keeps its value of ``complete``.

        Args:
            number: of the image.
            points: [x, y] of each click in pixels.
            labels: 1 foreground, 0 background.
            version: of the clicks that these were made from.
            annotator: a person's name.
            uid: unique name of this save; a save that is sent twice is stored once.

        Returns:
            The version that it made.

        Raises:
            ClicksChangedError: somebody else saved since that version; nothing was written.
            DataError: a click lies outside of the image, two lie on one pixel, there are more or fewer labels, or a
                window holds more clicks than a training would take.
        """
        self.channels(number, points, labels)
        check_crowding([{K.IMAGE: self.names[number], K.POINTS: points}], self._widest, self._inferer.max_points)
        return self._saved.save(self.names[number], as_pixels(points, labels), version, person(annotator), uid)

    def segment(
        self, number: int, points: Sequence[Sequence[int]], labels: Sequence[int], which: Which = "start"
    ) -> bytes:
        """The mask that clicks give, as PNG, 255 in the foreground.

        Args:
            number: of the image.
            points: [x, y] of each click in pixels.
            labels: 1 foreground, 0 background.
            which: network.

        Raises:
            DataError: as :meth:`save`, or more clicks fall in one window than the network takes; or there is no such
                network yet.
        """
        drawn = self.channels(number, points, labels)
        with self._turn:
            logits = logits_of(self._open(number, which).segment(drawn))[0]
        return png(((logits.sigmoid() > self._threshold).cpu().numpy() * 255).astype(np.uint8))

    def channels(self, number: int, points: Sequence[Sequence[int]], labels: Sequence[int]) -> torch.Tensor:
        """Clicks as prompt channels (2,X,Y)."""
        drawn = click_channels(self.sizes[number], points, labels)
        for (x, y), count in Counter(map(tuple, points)).items():
            if count > 1:
                raise DataError(f"two clicks lie on pixel ({x}, {y})")
        return drawn

    @property
    def has_trained(self) -> bool:
        """Whether a network was trained from the page."""
        return "trained" in self._networks

    def offer(self, checkpoint: Path) -> None:
        """Answer as the network ``trained`` from now on with these weights.

        Raises:
            DataError: they cannot be read, or are those of another network or of other settings.
        """
        network = copy.deepcopy(self._networks["start"])
        load_weights(network, checkpoint, self._settings)
        with self._turn:
            self._networks["trained"] = network
            for key in [key for key in self._sessions if key[1] == "trained"]:
                del self._sessions[key]

    def _read(self, number: int) -> torch.Tensor:
        """Read an image, if its file is still the one of the start: links and files may change while a server runs."""
        path, size = self._path(number), self.sizes[number]
        try:
            with self._reading:
                em = self._load(str(path))
        except Exception as error:
            line = explain(error)
            if line is None:
                raise
            raise DataError(line) from error
        if self._path(number) != path:
            raise DataError(f"{path}: was replaced while it was read; try again")
        if tuple(em.shape) != (1, *size):
            raise DataError(f"{path}: is {tuple(em.shape[1:])} pixels now, but was {size}; start the server again")
        if not torch.isfinite(em).all():
            raise DataError(f"{path}: holds NaN or infinite values; expected finite gray values")
        return em

    def _path(self, number: int) -> Path:
        return inside(self.folder, self.folder / self.names[number])

    def _open(self, number: int, which: Which) -> ClickSession:
        if which not in self._networks:
            raise DataError("no network has been trained from this page yet")
        key, now = (number, which), stamp(str(self._path(number)))
        if key not in self._sessions or self._sessions[key][0] != now:
            self._sessions[key] = now, ClickSession(self._networks[which], self._inferer, self._read(number))
            while len(self._sessions) > self._kept:
                self._sessions.popitem(last=False)
        self._sessions.move_to_end(key)
        return self._sessions[key][1]


def inside(folder: Path, path: Path) -> Path:
    """Resolve a path that must lie in a folder.

    Raises:
        DataError: it lies elsewhere, links followed.
    """
    found = path.resolve()
    if not found.is_relative_to(folder):
        raise DataError(f"{path}: lies outside of {folder}; only files below it are served")
    return found


def png(picture: np.ndarray) -> bytes:
    """A picture (X,Y) uint8, x along the first axis, as PNG."""
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture.T)).save(out, format="PNG", compress_level=1)
    return out.getvalue()
