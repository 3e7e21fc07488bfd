"""The clicks of a store: records that are only ever added, and the clicks that they leave on each image."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Mapping

from bundle.errors import DataError
from bundle.preferences.store.click_records import (
    CLICK_FIELDS,
    ClickRecord,
    ClicksChangedError,
    ImageClicks,
    Pixels,
    changes,
    check_click,
)
from bundle.preferences.store.sqlite_file import StoreFile

FIELDS = ", ".join(CLICK_FIELDS)
LAST = "SELECT number, annotator, created_at FROM clicks WHERE image = ? ORDER BY number DESC LIMIT 1"
LEFT = """SELECT image, x, y, label FROM clicks WHERE action = 'add' AND number IN
    (SELECT max(number) FROM clicks WHERE number <= ? {} GROUP BY image, x, y) ORDER BY number"""

logger = logging.getLogger(__name__)


class ClickStore:
    """Clicks of any number of images, each known by its absolute path.

    Every image has a version: the number of its last record. A save names the version that it was made from, and is
    refused when somebody saved meanwhile.

    Args:
        file: of the store.
    """

    def __init__(self, file: StoreFile) -> None:
        self._file = file

    @property
    def id(self) -> str:
        """Name of the store, which it keeps wherever its file is moved."""
        return next((value for (value,) in self._file.rows("SELECT value FROM about WHERE name = 'id'")), "")

    def last(self) -> int:
        """Number of the last record in the store, 0 for none."""
        return next(
            (number for (number,) in self._file.rows("SELECT number FROM clicks ORDER BY number DESC LIMIT 1")), 0
        )

    def of_all(self, number: int) -> dict[str, Pixels]:
        """The clicks on all images that have any.

        Args:
            number: of the last record that is counted.
        """
        found: dict[str, Pixels] = {}
        for image, x, y, label in self._file.rows(LEFT.format(""), number):
            found.setdefault(image, {})[x, y] = label
        return found

    def of(self, image: str, number: int | None = None) -> ImageClicks:
        """The clicks on an image, and their version.

        Args:
            image: absolute path.
            number: of the last record that is counted; None for all.
        """
        if number is None:
            # the version first: records that come between the two queries are in neither
            number = next((found for found, *_ in self._file.rows(LAST, image)), 0)
        rows = self._file.rows(LEFT.format("AND image = ?"), number, image)
        return ImageClicks({(x, y): label for _, x, y, label in rows}, number)

    def save(self, image: str, pixels: Mapping[tuple[int, int], int], version: int, annotator: str, uid: str) -> int:
        """Replace the clicks on an image.

        Args:
            image: absolute path.
            pixels: label by pixel, in the order of clicking.
            version: of the clicks that these were made from.
            annotator: who clicked, such as ``person:ada``.
            uid: name of this save. When it was written before, it is answered as it was then.

        Returns:
            The version that it made, which is the one given where nothing changed.

        Raises:
            ClicksChangedError: somebody else saved since that version; nothing was written.
            DataError: something is malformed, the uid belongs to another save, or the file cannot be written.
        """
        records = changes(image, self.of(image, version).pixels, pixels, annotator, uid)
        for record in records:
            check_click(record)
        with self._file.transaction() as connection:
            there = connection.execute(f"SELECT {FIELDS}, number FROM clicks WHERE uid = ? ORDER BY number", (uid,))
            if written := there.fetchall():
                if {row[:6] for row in written} != {_values(record)[:6] for record in records}:
                    raise DataError(f"{self._file.path}: uid {uid} belongs to another save; give each its own")
                return int(written[-1][-1])
            last = connection.execute(LAST, (image,)).fetchone() or (0, "", "")
            if last[0] == version:
                return self._write(connection, records) or version
        raise ClicksChangedError(image, self.of(image), last[1], last[2])

    def add_many(self, records: Iterable[ClickRecord]) -> int:
        """Add records whatever the versions, all or none. They come after those that are there.

        Args:
            records: the records; those that are there already are passed over.

        Returns:
            How many were new.

        Raises:
            DataError: one is malformed or contradicts one that is there, or the file cannot be written.
        """
        records = list(records)
        for record in records:
            check_click(record)
        with self._file.transaction() as connection:
            return sum(self.add(connection, record) for record in records)

    def add(self, connection: sqlite3.Connection, record: ClickRecord) -> bool:
        """Add a record that was checked, within a transaction, unless it is there; see :meth:`add_many`."""
        there = connection.execute(
            f"SELECT {FIELDS} FROM clicks WHERE uid = ? AND image = ? AND x = ? AND y = ?",
            (record.uid, record.image, record.x, record.y),
        ).fetchone()
        if there is None:
            self._write(connection, [record])
            return True
        if there[:6] != _values(record)[:6]:
            raise DataError(f"{self._file.path}: uid {record.uid} belongs to another click; give each save its own")
        return False

    def history(self) -> list[ClickRecord]:
        """All records in the order in which they were added, also those that were overtaken.

        Those that another program spoiled are passed over, for no export could hold them.
        """
        found, bad = [], []
        for row in self._file.rows(f"SELECT {FIELDS} FROM clicks ORDER BY number"):
            record = ClickRecord(*row)
            try:
                check_click(record)
                found.append(record)
            except DataError as error:
                bad.append(error)
        if bad:
            logger.warning(
                "%s: %d clicks are malformed and passed over, the first: %s", self._file.path, len(bad), bad[0]
            )
        return found

    def _write(self, connection: sqlite3.Connection, records: list[ClickRecord]) -> int:
        """Write records; gives the number of the last, 0 where there is none."""
        number = 0
        for record in records:
            done = connection.execute(f"INSERT INTO clicks ({FIELDS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _values(record))
            number = done.lastrowid or 0
        return number


def _values(record: ClickRecord) -> tuple[str | int, ...]:
    return tuple(getattr(record, name) for name in CLICK_FIELDS)
