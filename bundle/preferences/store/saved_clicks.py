"""The clicks of a folder of images: kept in a store, and exported to the points file that training commands read."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from bundle.data.points import Clicks, check_inside, read_points, write_points
from bundle.errors import DataError, StorageError
from bundle.json_files import read_json
from bundle.preferences.store.click_records import ClickRecord, ImageClicks, Pixels, changes, check_click
from bundle.preferences.store.judgement_store import JudgementStore
from bundle.preferences.store.records import is_whole, new_uid

logger = logging.getLogger(__name__)


class ExportError(StorageError):
    """The clicks are in the store, but the points file could not be written."""


class Mark(NamedTuple):
    """What an export says about itself.

    Attributes:
        store: id of the store that it was made from.
        folder: of the images.
        number: of the last record of the store that is in it.
    """

    store: str
    folder: str
    number: int


class PointsExport(NamedTuple):
    """What a points file says.

    Attributes:
        clicks: of each image that it names.
        complete: every instance of every training image was clicked.
        mark: of the export, None where the file was made by hand or by another program.
    """

    clicks: dict[str, Pixels]
    complete: bool
    mark: Mark | None


class SavedClicks:
    """Clicks on the images of a folder.

    The points file is an export, written after each save, never older than it was. One that differs from the state
    that it was exported from was changed by hand: the changes are imported, as ``import:points.json``, before it is
    written again. From a file that is no export of this store and folder clicks are only added.

    Args:
        store: where the clicks are kept.
        file: points file (JSON).
        folder: of the images.
        images: all images, as the points file spells them, relative to the folder.
        sizes: (width, height) in pixels of those images whose size is known: clicks outside are refused in the file,
            and passed over in the store.
    """

    def __init__(
        self,
        store: JudgementStore,
        file: Path,
        folder: Path,
        images: Sequence[str],
        sizes: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        self.store = store
        self.file = file
        self.folder = folder.resolve()
        self._images = list(images)
        self._sizes = sizes or {}
        self._told = 0

    def of_all(self) -> dict[str, Clicks]:
        """The clicks of each image that has any."""
        return {name: as_lists(pixels) for name, pixels in self._state(self.store.clicks.last()).items()}

    def of(self, image: str) -> ImageClicks:
        """The clicks of an image, and the version that a save must name."""
        found = self.store.clicks.of(self._path(image))
        return ImageClicks(self._inside(image, found.pixels), found.version)

    def save(self, image: str, pixels: Pixels, version: int, annotator: str, uid: str) -> int:
        """Replace the clicks of an image, and export.

        Args:
            image: the image.
            pixels: label by pixel (x, y), in the order of clicking.
            version: of the clicks that these were made from.
            annotator: who clicked, such as ``person:ada``.
            uid: name of this save; one that is sent again is stored once, and answered as the first time.

        Returns:
            The version that it made.

        Raises:
            ClicksChangedError: somebody else saved since that version; nothing was written.
            DataError: something is malformed, or the points file was changed and cannot be used; nothing was written.
            ExportError: the clicks are in the store, but the points file could not be written.
            StorageError: the store could not be written.
        """
        with suppress(ExportError):  # which is raised below, when these clicks are in the store too
            self.synchronise()
        made = self.store.clicks.save(self._path(image), pixels, version, annotator, uid)
        self.synchronise()
        return made

    def synchronise(self) -> None:
        """Import what was changed in the points file by hand, and export.

        Raises:
            DataError: the file cannot be read, or has a click that cannot be.
            ExportError: the points file could not be written.
            StorageError: the store could not be written.
        """
        while not self._export():
            self._import()

    def check_moved(self) -> None:
        """Say in the log when clicks are waiting under another name of this folder."""
        number = self.store.clicks.last()
        if self._state(number):
            return
        gone: dict[str, int] = {}
        for path, pixels in self.store.clicks.of_all(number).items():
            for image in self._images:
                if path.endswith(f"/{image}") and not Path(path).exists():
                    folder = path.removesuffix(f"/{image}")
                    gone[folder] = gone.get(folder, 0) + len(pixels)
        for folder, count in gone.items():
            logger.warning(
                "%s: holds %d clicks on images of this name in %s, which is gone; if %s is that folder, put its %s "
                "here and start again",
                self.store.path,
                count,
                folder,
                self.folder,
                self.file.name,
            )

    def _export(self) -> bool:
        """Write the points file, unless it was changed by hand since; then False."""
        # written while the store's write lock is held, so that of two servers the newer export is last
        with self.store.file.transaction():
            given = self._read()
            if self._news(given):
                return False
            number = self.store.clicks.last()
            state = self._state(number)
            if (self._is_own(given.mark) and given.clicks == state) or not (self.file.exists() or state):
                return True
            mark = Mark(self.store.clicks.id, str(self.folder), number)
            clicks = {image: as_lists(state[image]) for image in self._images if image in state}
            try:
                write_points(self.file, clicks, given.complete, mark._asdict())
            except StorageError as error:
                raise ExportError(f"{error}; the clicks are safe in {self.store.path}") from None
        return True

    def _import(self) -> None:
        """Import the changes of the points file into the store."""
        with self.store.file.transaction() as connection:
            given = self._read()
            records = self._news(given)
            for record in records:
                try:
                    check_click(record)
                except DataError as error:
                    raise DataError(f"{self.file}: {record.image}: {error}") from None
                self.store.clicks.add(connection, record)
        how = "was changed by hand since its export"
        if not self._is_own(given.mark):
            how = "is no export of this store"
            if given.mark is not None and given.mark.folder != str(self.folder):
                how = f"was exported in {given.mark.folder}, before this folder was moved or copied"
        removed = sum(record.action == "remove" for record in records)
        logger.warning(
            "%s: %s; %d clicks imported, %d removed (%s)",
            self.file,
            how,
            len(records) - removed,
            removed,
            self.store.path,
        )

    def _news(self, given: PointsExport) -> list[ClickRecord]:
        """The records to add so that the store has the clicks of the points file."""
        number = self.store.clicks.last()
        now = self._state(number)
        base: dict[str, Pixels] = {}
        if given.mark is not None and self._is_own(given.mark):
            base = now if given.mark.number >= number else self._state(given.mark.number)
        uid, records = new_uid(), []
        for image in dict.fromkeys((*base, *given.clicks)):
            before, after, there = (found.get(image, {}) for found in (base, given.clicks, now))
            wanted = {pixel: label for pixel, label in there.items() if pixel in after or pixel not in before}
            wanted |= {pixel: label for pixel, label in after.items() if before.get(pixel) != label}
            records += changes(self._path(image), there, wanted, f"import:{self.file.name}", uid)
        return records

    def _state(self, number: int) -> dict[str, Pixels]:
        """The clicks up to a record, of the images that have any."""
        every = self.store.clicks.of_all(number)
        known = {image: every[self._path(image)] for image in self._images if self._path(image) in every}
        inside = {image: self._inside(image, pixels) for image, pixels in known.items()}
        outside = sum(map(len, known.values())) - sum(map(len, inside.values()))
        if outside > self._told:
            self._told = outside
            logger.warning("%s: %d clicks lie outside of their images and are passed over", self.store.path, outside)
        return {image: pixels for image, pixels in inside.items() if pixels}

    def _read(self) -> PointsExport:
        if not self.file.exists():
            return PointsExport({}, False, None)
        if not self.file.is_file():
            raise DataError(f"{self.file}: is no file; move it away, or name another")
        clicks, complete = read_points(self.file, self._images)
        for image, found in clicks.items():
            if image in self._sizes:
                check_inside(self.file, image, found.points, self._sizes[image])
        by_pixel = {image: as_pixels(found.points, found.labels) for image, found in clicks.items() if found.points}
        return PointsExport(by_pixel, complete, read_mark(self.file))

    def _is_own(self, mark: Mark | None) -> bool:
        return mark is not None and mark[:2] == (self.store.clicks.id, str(self.folder))

    def _inside(self, image: str, pixels: Pixels) -> Pixels:
        if image not in self._sizes:
            return pixels
        width, height = self._sizes[image]
        return {(x, y): label for (x, y), label in pixels.items() if x < width and y < height}

    def _path(self, image: str) -> str:
        return str(self.folder / image)


def as_lists(pixels: Mapping[tuple[int, int], int]) -> Clicks:
    """Clicks as a points file has them."""
    return Clicks([[x, y] for x, y in pixels], list(pixels.values()))


def as_pixels(points: Sequence[Sequence[int]], labels: Sequence[int]) -> Pixels:
    """Clicks by pixel; of two on one pixel the last one counts."""
    return {(x, y): label for (x, y), label in zip(points, labels, strict=True)}


def read_mark(file: Path) -> Mark | None:
    """What a points file says about its export, None where it is none."""
    found = read_json(file).get("exported")
    try:
        mark = Mark(**found)
    except TypeError:
        return None
    return mark if isinstance(mark.store, str) and isinstance(mark.folder, str) and is_whole(mark.number) else None
