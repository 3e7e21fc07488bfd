"""What a person's help to a row costs in time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from bundle.data.domain_folder import load_domain

CLICK, VOTE, MASK = 2.0, 3.0, 79.0
"""Seconds of a click, a vote and a polygon mask; the last one is that of COCO, as arXiv 2104.06404 quotes it."""

CAUTIOUS = 0.5
"""Share of :data:`MASK` that an annotator needs who is twice as fast."""


@dataclass(frozen=True)
class PersonTime:
    """A person's help to a row.

    Attributes:
        clicks: in mitochondria of the training images.
        votes: on candidates.
        masks: drawn mitochondria of the training images.
        mask_seconds: of each of them.
    """

    clicks: int = 0
    votes: int = 0
    masks: int = 0
    mask_seconds: float = MASK

    @property
    def minutes(self) -> float:
        """Minutes of all."""
        return (self.clicks * CLICK + self.votes * VOTE + self.masks * self.mask_seconds) / 60

    @property
    def cautious_minutes(self) -> float:
        """Minutes of all, a mask at half of :data:`MASK`."""
        return replace(self, mask_seconds=CAUTIOUS * MASK).minutes

    @property
    def kind(self) -> str:
        """``nothing``, ``points``, ``votes``, ``both`` or ``masks``."""
        if self.masks:
            return "masks"
        if self.clicks:
            return "both" if self.votes else "points"
        return "votes" if self.votes else "nothing"


def count_clicks(domain: Path, points: str) -> int:
    """Count the clicks of a points file in the training images of a domain folder."""
    return sum(len(item.get("points", ())) for item in load_domain(domain, "training", points, labels=False))
