"""Voting: which question an annotator sees next, what it looks like, and what became of the vote."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from skimage.measure import find_contours

from bundle.errors import DataError
from bundle.preferences.candidates.comparison import distinct
from bundle.preferences.candidates.files import CandidateSet, file_sha256, read_candidates
from bundle.preferences.questions.regions import region_box, split_regions
from bundle.preferences.store.judgement_store import Judgement, JudgementStore, Question, check_fresh

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
KEPT = 8
"""Files of candidates in memory."""
Stamp = tuple[int, int] | None


class Check(NamedTuple):
    """Whether a question can still be asked.

    Attributes:
        stamps: of its image and its file of candidates, as they were then.
        problem: why it cannot be asked, one line; None where it can.
    """

    stamps: tuple[Stamp, Stamp]
    problem: str | None


@dataclass(frozen=True)
class Outline:
    """A candidate as it looks in a region; copies of it in that region are one with it.

    Attributes:
        candidate: its number.
        lines: closed lines around its parts, each a list of [x, y] in pixels of the image, pixel centres at whole
            numbers. Where the mask goes on beyond the region they run outside of it. None where there is no mask.
    """

    candidate: int
    lines: list[list[list[float]]]


class VoteService:
    """Questions of a store, put to persons.

    Args:
        store: the store.
        images: number of each image that may be shown, by its path as the questions spell it.
        candidates_dir: folder outside of which no candidates are read.
    """

    def __init__(self, store: JudgementStore, images: Mapping[str, int], candidates_dir: Path) -> None:
        self.store = store
        self.images = images
        self.candidates_dir = candidates_dir.resolve()
        self._turn = Lock()
        self._checked: dict[str, Check] = {}
        self._read: OrderedDict[tuple[str, Stamp], CandidateSet] = OrderedDict()

    def next_questions(self, annotator: str, count: int = 3) -> list[dict[str, Any]]:
        """The questions that an annotator should answer next, ready for the page.

        Args:
            annotator: a person's name, without ``person:``.
            count: largest number of questions, so that the page can show the next one without waiting.

        Returns:
            For each ``id``, ``image`` (its number), ``box`` (x0, y0, x1, y1) and ``outlines``, each with
            ``candidate`` and ``lines``, see :class:`Outline`.

        Raises:
            DataError: the name is malformed.
        """
        waiting, _ = self._waiting(annotator)
        return [
            {
                "id": question.id,
                "image": self.images[question.image],
                "box": list(question.box),
                "outlines": [vars(outline) for outline in self.outlines(question)],
            }
            for question in waiting[:count]
        ]

    def vote(self, annotator: str, question: str, chosen: int | str, seconds: float, uid: str) -> bool:
        """Write a judgement to the store.

        Args:
            annotator: a person's name.
            question: its id.
            chosen: number of the chosen candidate, ``none``, ``tie``, ``skip``, or ``undo``.
            seconds: time that it took.
            uid: unique name of this judgement; one that is sent twice is stored once.

        Returns:
            False when it was there already.

        Raises:
            KeyError: there is no such question.
            DataError: something is out of range, the judgement contradicts one of the same ``uid``, or an image or a
                candidate changed since the question was opened.
        """
        asked = self.store.question(question)
        problem = None if chosen == "undo" else self.problems([asked])[asked.id]
        if problem:
            raise DataError(f"this question cannot be asked any more: {problem}")
        return self.store.add(Judgement(asked, chosen, person(annotator), seconds, uid=uid))

    def progress(self, annotator: str) -> dict[str, Any]:
        """How far an annotator is.

        Returns:
            ``answered``, ``left``, ``seconds`` (spent in all), ``per_minute`` (judgements), ``seconds_left`` (at this
            rate; 0 where there is no rate yet), ``last``, the id of the question that was answered last and not
            taken back, None where there is none, ``dead``, how many questions cannot be asked any more, and ``why``,
            what is wrong with the first of them.
        """
        given = self.store.judgements(annotator=person(annotator))
        waiting, problems = self._waiting(annotator)
        left = len(waiting)
        seconds = sum(judgement.seconds for judgement in given)
        mean = seconds / len(given) if given else 0.0
        return {
            "answered": len(given),
            "left": left,
            "seconds": seconds,
            "per_minute": 60 / mean if mean > 0 else 0.0,
            "seconds_left": left * mean,
            "last": given[-1].question.id if given else None,
            "dead": len(problems),
            "why": problems[0] if problems else "",
        }

    def outlines(self, question: Question) -> list[Outline]:
        """What there is to choose from in a question's region.

        Raises:
            DataError: the candidates are not in their folder, or cannot be read.
        """
        made = self._candidates(question.candidates_file)
        region = split_regions(question.region_split, made.masks) == question.region_index
        shown = np.array(question.options)
        numbers = shown[distinct(made.masks[shown], region)].tolist()
        return [Outline(number, outline(made.masks[number], question.box)) for number in numbers]

    def problems(self, questions: Iterable[Question]) -> dict[str, str | None]:
        """Say which questions cannot be asked any more.

        Files are read again only when their size or time changed, all questions of a file together.

        Returns:
            For the id of each question one line, or None where it can be asked.
        """
        with self._turn:
            stamps: dict[str, Stamp] = {}
            found: dict[str, str | None] = {}
            unknown: dict[str, list[Question]] = {}
            for question in questions:
                for file in (question.image, question.candidates_file):
                    if file not in stamps:
                        stamps[file] = stamp(file)
                check = self._checked.get(question.id)
                if check and check.stamps == (stamps[question.image], stamps[question.candidates_file]):
                    found[question.id] = check.problem
                else:
                    unknown.setdefault(question.candidates_file, []).append(question)
            for file, group in unknown.items():
                for question, problem in zip(group, self._problems_of(file, group), strict=True):
                    self._checked[question.id] = Check((stamps[question.image], stamps[file]), problem)
                    found[question.id] = problem
            return found

    def _problems_of(self, file: str, questions: list[Question]) -> list[str | None]:
        """What is wrong with questions whose candidates are in one file."""
        try:
            made = self._candidates(file)
            images = {image: file_sha256(image) for image in {question.image for question in questions}}
        except (DataError, OSError, RuntimeError) as error:  # RuntimeError: links that lead in a circle
            return [str(error)] * len(questions)
        found: list[str | None] = []
        split = cache(lambda region_split: split_regions(region_split, made.masks))
        for question in questions:
            try:
                check_fresh(question, made, images[question.image])
                check_region(question, split(question.region_split))
                found.append(None)
            except DataError as error:
                found.append(str(error))
        return found

    def _waiting(self, annotator: str) -> tuple[list[Question], list[str]]:
        """The questions that an annotator can answer, and why the others cannot be asked."""
        unanswered = self.store.unanswered(person(annotator))
        problems = self.problems(question for question in unanswered if question.image in self.images)
        waiting, dead = [], []
        for question in unanswered:
            if question.image not in self.images:
                dead.append(f"{question.image}: is no image of the folder and split on show")
            elif problem := problems[question.id]:
                dead.append(problem)
            else:
                waiting.append(question)
        return waiting, dead

    def _candidates(self, file: str) -> CandidateSet:
        """Read a file of candidates; the last few are kept."""
        if not Path(file).resolve().is_relative_to(self.candidates_dir):
            raise DataError(f"{file}: is not in {self.candidates_dir}; its candidates are not read")
        key = (file, stamp(file))
        made = self._read.pop(key, None) or read_candidates(file)
        self._read[key] = made
        if len(self._read) > KEPT:
            self._read.popitem(last=False)
        return made


def check_region(question: Question, region_map: np.ndarray) -> None:
    """Refuse a question whose region its image does not have, as a record from elsewhere may say.

    Args:
        question: the question.
        region_map: (X,Y) int, the number of the region that holds a pixel.

    Raises:
        DataError: there is no such region, or it lies elsewhere.
    """
    region = region_map == question.region_index
    if not region.any() or region_box(region) != question.box:
        raise DataError(
            f"{question.candidates_file}: region {question.region_index} of {question.region_split} is not at "
            f"{list(question.box)}; make the questions again"
        )


def stamp(file: str) -> Stamp:
    """Time of the last change in ns and size in bytes of a file, None where there is none."""
    try:
        about = Path(file).stat()
    except OSError:
        return None
    return about.st_mtime_ns, about.st_size


def person(name: str) -> str:
    """Name of a person in the store.

    Args:
        name: 1 to 32 letters, digits, and ``_ . -`` behind the first.

    Raises:
        DataError: the name is another.
    """
    if not NAME.fullmatch(name):
        raise DataError(f"annotator is {name[:40]!r}, expected 1 to 32 letters, digits, '_', '.' or '-'")
    return f"person:{name}"


def outline(mask: np.ndarray, box: tuple[int, int, int, int], around: int = 2) -> list[list[list[float]]]:
    """Lines around a mask within a box.

    Args:
        mask: (X,Y) bool.
        box: (x0, y0, x1, y1) in pixels, half open.
        around: pixels beyond the box that are included, so that a line that leaves the box is seen to leave it.

    Returns:
        Closed lines of [x, y], rounded to a tenth of a pixel.
    """
    x0, y0 = max(box[0] - around, 0), max(box[1] - around, 0)
    part = np.pad(mask[x0 : box[2] + around, y0 : box[3] + around].astype(np.float32), 1)
    return [np.round(line + np.array([x0 - 1, y0 - 1]), 1).tolist() for line in find_contours(part, 0.5)]
