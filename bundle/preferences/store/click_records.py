"""Records of clicks: who added or removed which click on which image, and the clicks that result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from bundle.errors import DataError
from bundle.preferences.store.records import KINDS, check_kind, expect, is_path, is_text, is_utc, is_whole, new_uid, now

CLICK_FIELDS = ("image", "x", "y", "label", "action", "annotator", "created_at", "uid")
LARGEST = (1 << 20) - 1
"""Of a coordinate, in pixels."""

Pixels = dict[tuple[int, int], int]
"""The clicks on an image: 1 (foreground) or 0 (background) by pixel (x, y), in the order of clicking."""


@dataclass(frozen=True)
class ClickRecord:
    """A click that was added to an image or removed from it. Of the records of a pixel the last one counts.

    Attributes:
        image: path of the image, absolute.
        x: column of the pixel.
        y: row of the pixel.
        label: 1 foreground, 0 background; of a removal, what the click was.
        action: ``add`` (also in place of a click with the other label) or ``remove``.
        annotator: who did it, such as ``person:ada``, or ``import:points.json`` where the clicks came from a file.
        created_at: ISO time, UTC (``+00:00``).
        uid: name of the save that it belongs to. A save that is sent again under its uid is stored once.
    """

    image: str
    x: int
    y: int
    label: int
    action: Literal["add", "remove"]
    annotator: str
    created_at: str = field(default_factory=now)
    uid: str = field(default_factory=new_uid)


class ImageClicks(NamedTuple):
    """What is clicked on an image.

    Attributes:
        pixels: the clicks.
        version: number of the last record that belongs to it, 0 for none; a save names the one that it was made from.
    """

    pixels: Pixels
    version: int


class ClicksChangedError(DataError):
    """Somebody saved meanwhile, and nothing was written.

    Attributes:
        clicks: as they are now.
        annotator: who saved last.
        created_at: when.
    """

    def __init__(self, image: str, clicks: ImageClicks, annotator: str, created_at: str) -> None:
        super().__init__(
            f"{image}: {annotator} saved clicks at {created_at}, after these were read, so nothing was saved; read "
            "them again, and save with their version"
        )
        self.clicks = clicks
        self.annotator = annotator
        self.created_at = created_at


def changes(
    image: str, before: Mapping[tuple[int, int], int], after: Mapping[tuple[int, int], int], annotator: str, uid: str
) -> list[ClickRecord]:
    """The records that lead from some clicks to others.

    Args:
        image: path of the image.
        before: label by pixel.
        after: label by pixel.
        annotator: who changed them.
        uid: of the save.

    Returns:
        Removals, then additions in the order of ``after``; a pixel that changed its label is only added.
    """
    time = now()
    gone = [(pixel, label) for pixel, label in before.items() if pixel not in after]
    added = [(pixel, label) for pixel, label in after.items() if before.get(pixel) != label]
    return [ClickRecord(image, x, y, label, "remove", annotator, time, uid) for (x, y), label in gone] + [
        ClickRecord(image, x, y, label, "add", annotator, time, uid) for (x, y), label in added
    ]


def check_click(record: ClickRecord) -> None:
    """Refuse a record of a click that no image could have or that a store could not hold.

    Args:
        record: the record. Numbers must be Python's own, not numpy's.

    Raises:
        DataError: a field has another type or is out of range.
    """
    expect(is_path(record.image), "image", record.image, "the path of an image")
    for name in ("x", "y"):
        value = getattr(record, name)
        expect(is_whole(value) and 0 <= value <= LARGEST, name, value, f"a Python int from 0 to {LARGEST}")
    expect(is_whole(record.label) and record.label in (0, 1), "label", record.label, "1 (foreground) or 0 (background)")
    expect(record.action in ("add", "remove"), "action", record.action, "add or remove")
    check_kind(record.annotator, (*KINDS, "import"))
    expect(is_utc(record.created_at), "created_at", record.created_at, "an ISO time that ends with +00:00")
    fine = is_text(record.uid) and record.uid.isprintable()
    expect(fine, "uid", record.uid, "a text of printable characters")
