"""Questions and judgements, and which of them are refused."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bundle.errors import DataError

if TYPE_CHECKING:
    from bundle.preferences.candidates.files import CandidateSet

KINDS = ("person", "oracle", "evolution")
REGION_SPLITS = re.compile(r"image|grid:0{0,9}[1-9]\d{0,8}|(?:components|objects):\d{1,9}", re.ASCII)
"""How an image may be split, see :func:`bundle.preferences.questions.regions.split_regions`."""
WORDS = ("none", "tie", "skip", "undo")


@dataclass(frozen=True)
class Candidate:
    """A mask that may be chosen.

    Attributes:
        made: how it was made.
        sha256: its hash, see :func:`bundle.preferences.candidates.files.mask_sha256`.
    """

    made: str
    sha256: str


@dataclass(frozen=True)
class Question:
    """Which of these candidates is best in this region of this image?

    Attributes:
        image: path of the image, as the datalist spells it.
        image_sha256: hash of the image's file.
        candidates_file: path of the file that holds the masks.
        candidates: at least two, in the order of that file.
        region_split: how the image was split, such as ``grid:32``.
        region_index: number of the region in that split, from 0.
        box: (x0, y0, x1, y1) around the region in pixels, half open.
        model: sha256 of the state of the checkpoint that made the candidates.
        priority: the higher, the sooner it is asked.
        shown: numbers of the candidates that an annotator is shown, from low to high; empty for all of them.
    """

    image: str
    image_sha256: str
    candidates_file: str
    candidates: tuple[Candidate, ...]
    region_split: str
    region_index: int
    box: tuple[int, int, int, int]
    model: str
    priority: float
    shown: tuple[int, ...] = ()

    @property
    def options(self) -> tuple[int, ...]:
        """Numbers of the candidates of which one may be chosen."""
        return self.shown or tuple(range(len(self.candidates)))

    @property
    def fields(self) -> dict[str, Any]:
        """All but the priority, ready for JSON: ``candidates`` are objects with id, made, sha256.

        There is no ``shown`` where all are shown, as in questions that earlier versions opened.
        """
        fields = {
            "image": self.image,
            "image_sha256": self.image_sha256,
            "candidates_file": self.candidates_file,
            "candidates": [{"id": i, "made": c.made, "sha256": c.sha256} for i, c in enumerate(self.candidates)],
            "region_split": self.region_split,
            "region_index": self.region_index,
            "box": list(self.box),
            "model": self.model,
        }
        return fields | ({"shown": list(self.shown)} if self.shown else {})

    @cached_property
    def content(self) -> str:
        """:attr:`fields` as JSON, as a store keeps it."""
        return json.dumps(self.fields, sort_keys=True, separators=(",", ":"))

    @cached_property
    def id(self) -> str:
        """sha256 of :func:`hashed_spelling`, so the same question has the same id in every store."""
        return hashlib.sha256(hashed_spelling(self).encode()).hexdigest()

    @cached_property
    def seen(self) -> str:
        """sha256 of what an annotator is shown (image, masks, region). Independent of file paths."""
        masks = [candidate.sha256 for candidate in self.candidates]
        seen = [self.image_sha256, masks, self.region_split, self.region_index]
        return hashlib.sha256(json.dumps(seen + ([self.shown] if self.shown else [])).encode()).hexdigest()


def hashed_spelling(question: Question) -> str:
    """Spell a question for its id.

    The field names are those of the first release and must never change. With other names every question would get
    another id: judgements in existing stores, which name their question by its id, would be lost, and the same
    questions would be opened and asked again. So names may change elsewhere, but not here.

    Args:
        question: the question.

    Returns:
        All but the priority as JSON, with sorted names and without spaces.
    """
    renamed = {"region_split": "regions", "region_index": "index", "box": "region"}
    fields = {renamed.get(name, name): value for name, value in question.fields.items()}
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))


def now() -> str:
    """The time as records have it: ISO, UTC, with microseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")


def new_uid() -> str:
    """A name for a record that no other has."""
    return uuid.uuid4().hex


@dataclass(frozen=True)
class Judgement:
    """One answer of an annotator to a question.

    Attributes:
        question: the question.
        chosen: number of the chosen candidate, ``none`` where none of them will do, ``tie``, ``skip``, or ``undo`` to
            withdraw the annotator's judgement.
        annotator: who judged, ``person:...``, ``oracle:...`` or ``evolution:...``.
        seconds: time that it took.
        created_at: ISO time, UTC (``+00:00``).
        uid: name of this record. One that is sent again under its uid is stored once.
    """

    question: Question
    chosen: int | str
    annotator: str
    seconds: float
    created_at: str = field(default_factory=now)
    uid: str = field(default_factory=new_uid)


def check_question(question: Question) -> None:
    """Refuse a question that no one could judge or that JSON could not hold.

    Args:
        question: the question. Numbers must be Python's own, not numpy's.

    Raises:
        DataError: a field has another type or is out of range.
    """
    for name in ("image_sha256", "model"):
        expect(is_text(getattr(question, name)), name, getattr(question, name), "a text that is not empty")
    for name in ("image", "candidates_file"):
        expect(is_path(getattr(question, name)), name, getattr(question, name), "the path of a file")
    split, index = question.region_split, question.region_index
    fine = isinstance(split, str) and REGION_SPLITS.fullmatch(split) is not None
    expect(fine, "region_split", split, "image, grid:SIZE, components:GAP or objects:GAP, such as grid:32")
    candidates = question.candidates
    fine = isinstance(candidates, tuple) and len(candidates) >= 2
    fine = fine and all(isinstance(c, Candidate) and is_text(c.made) and is_text(c.sha256) for c in candidates)
    expect(fine, "candidates", candidates, "a tuple of two or more, each with made and sha256")
    expect(is_whole(index) and index >= 0, "region_index", index, "a Python int from 0")
    shown = question.shown
    fine = isinstance(shown, tuple) and all(is_whole(n) and 0 <= n < len(candidates) for n in shown)
    fine = fine and len(shown) != 1 and sorted(set(shown)) == list(shown)
    expect(fine, "shown", shown, "a tuple of two or more numbers of candidates from low to high, or an empty one")
    box = question.box
    fine = isinstance(box, tuple) and len(box) == 4 and all(map(is_whole, box))
    fine = fine and 0 <= box[0] < box[2] and 0 <= box[1] < box[3]
    expect(fine, "box", box, "Python ints (x0, y0, x1, y1) with 0 <= x0 < x1 and 0 <= y0 < y1")
    expect(is_finite(question.priority), "priority", question.priority, "a finite number")


def check_judgement(judgement: Judgement) -> None:
    """Refuse a judgement that does not answer its question.

    Args:
        judgement: of a question that is sound.

    Raises:
        DataError: a field has another type or is out of range.
    """
    chosen, options = judgement.chosen, judgement.question.options
    fine = chosen in WORDS if isinstance(chosen, str) else is_whole(chosen) and chosen in options
    span = ", ".join(map(str, options)) if judgement.question.shown else f"from 0 to {options[-1]}"
    expect(fine, "chosen", chosen, f"a candidate's number (a Python int, {span}), none, tie, skip or undo")
    check_annotator(judgement.annotator)
    seconds = judgement.seconds
    expect(is_finite(seconds) and seconds >= 0, "seconds", seconds, "a finite number from 0")
    expect(is_utc(judgement.created_at), "created_at", judgement.created_at, "an ISO time that ends with +00:00")
    uid = judgement.uid
    expect(is_text(uid) and uid.isprintable(), "uid", uid, "a text of printable characters")


def check_annotator(annotator: str) -> None:
    """Refuse the name of an annotator that does not say of what kind it is.

    Args:
        annotator: such as ``person:ada``.

    Raises:
        DataError: it is not ``kind:name`` with a known kind.
    """
    check_kind(annotator, KINDS)


def check_kind(annotator: str, kinds: Sequence[str]) -> None:
    """Refuse the name of an annotator that is of none of these kinds.

    Args:
        annotator: such as ``person:ada``.
        kinds: the kinds.

    Raises:
        DataError: it is not ``kind:name`` with one of them.
    """
    kind, _, name = annotator.partition(":") if isinstance(annotator, str) else ("", "", "")
    fine = kind in kinds and name.strip() != "" and name.isprintable()
    expect(fine, "annotator", annotator, f"kind:name with a kind of {', '.join(kinds)}, such as person:ada")


def check_fresh(question: Question, candidates: CandidateSet, image_sha256: str) -> None:
    """Refuse a judgement whose image or candidates changed since.

    Args:
        question: what was judged.
        candidates: what its candidates file holds now.
        image_sha256: hash of the image's file now.

    Raises:
        DataError: the image or a candidate is another one than in the record.
    """
    again = "Make its candidates again and have them judged, or bring back the old file"
    if image_sha256 != question.image_sha256:
        raise DataError(f"image {question.image} changed since it was judged (its sha256 is another). {again}")
    if candidates.image_sha256 != question.image_sha256:
        raise DataError(f"{question.candidates_file}: was made of another image than {question.image}. {again}")
    judged = [candidate.sha256 for candidate in question.candidates]
    if len(candidates.sha256) != len(judged):
        raise DataError(
            f"{question.candidates_file}: {len(candidates.sha256)} candidates of image {question.image}, "
            f"of which {len(judged)} were judged. {again}"
        )
    for number, (then, now) in enumerate(zip(judged, candidates.sha256, strict=True)):
        if then != now:
            raise DataError(
                f"{question.candidates_file}: candidate {number} of image {question.image} changed since it was "
                f"judged (its sha256 is another). {again}"
            )


def expect(fine: bool, name: str, value: Any, expected: str) -> None:
    """Refuse the value of a field.

    Args:
        fine: it is as expected.
        name: the field.
        value: its value.
        expected: what was expected.

    Raises:
        DataError: it is not.
    """
    if not fine:
        raise DataError(f"{name} is {str(repr(value))[:80]}, expected {expected}")


def is_text(value: Any) -> bool:
    """Tell whether a value is a text that is not empty."""
    return isinstance(value, str) and value != ""


def is_path(value: Any) -> bool:
    """Tell whether a value is a text that a file can be called."""
    if not is_text(value) or "\0" in value:
        return False
    try:
        return bool(value.encode())
    except UnicodeEncodeError:
        return False


def is_whole(value: Any) -> bool:
    """Tell whether a value is a Python int, and no bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_finite(value: Any) -> bool:
    """Tell whether a value is a number that a float can hold."""
    # a JSON integer may be larger than any float, at which math.isfinite fails
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def is_utc(value: Any) -> bool:
    """Tell whether a value is an ISO time that ends with ``+00:00``."""
    try:
        return value.endswith("+00:00") and datetime.fromisoformat(value).utcoffset() == timedelta(0)
    except (AttributeError, TypeError, ValueError):  # bytes have an endswith of their own
        return False
