"""Voting: which question an annotator sees next, what it looks like, and what became of the answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from skimage.measure import find_contours

from bundle.errors import DataError
from bundle.preferences.annotators import distinct
from bundle.preferences.candidate_files import CandidateSet, file_sha256, read_candidates
from bundle.preferences.regions import split_regions
from bundle.preferences.store import Judgement, JudgementStore, Question, check_fresh

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")


@dataclass(frozen=True)
class Outline:
    """A candidate as it looks in a region; copies of it in that region are one with it.

    Attributes:
        candidate: its number.
        lines: closed lines around its parts, each a list of [x, y] in pixels of the image, pixel centres at whole
            numbers. The region's border is no part of them where the mask goes on beyond it.
    """

    candidate: int
    lines: list[list[list[float]]]


class Ballot:
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
        self._read = lru_cache(maxsize=8)(self._candidates)

    def next_questions(self, annotator: str, count: int = 3) -> list[dict[str, Any]]:
        """The questions that an annotator should answer next, ready for the page.

        Args:
            annotator: a person's name, without ``person:``.
            count: how many at most, so that the page need not wait for each.

        Returns:
            For each ``id``, ``image`` (its number), ``box`` (x0, y0, x1, y1) and ``outlines``, each with
            ``candidate`` and ``lines``, see :class:`Outline`.

        Raises:
            DataError: the name is malformed, or an image or a candidate changed since the question was opened.
        """
        return [
            {
                "id": question.id,
                "image": self.images[question.image],
                "box": list(question.box),
                "outlines": [vars(outline) for outline in self.outlines(question)],
            }
            for question in self._waiting(annotator)[:count]
        ]

    def answer(self, annotator: str, question: str, answer: int | str, seconds: float, uid: str) -> bool:
        """Write an answer to the store.

        Args:
            annotator: a person's name.
            question: its id.
            answer: number of the best candidate, ``tie``, ``skip``, or ``undo``.
            seconds: time that it took.
            uid: name of this answer, so that one that is sent twice is stored once.

        Returns:
            False when it was there already.

        Raises:
            KeyError: there is no such question.
            DataError: something is out of range, or the answer contradicts one of the same ``uid``.
        """
        return self.store.add(Judgement(self.store.question(question), answer, person(annotator), seconds, uid=uid))

    def progress(self, annotator: str) -> dict[str, Any]:
        """How far an annotator is.

        Returns:
            ``answered``, ``left``, ``seconds`` (spent in all), ``per_minute`` (answers), ``seconds_left`` (at this
            rate; 0 where there is no rate yet), and ``last``, the id of the question that was answered last and not
            taken back, None where there is none.
        """
        given = self.store.judgements(annotator=person(annotator))
        left = len(self._waiting(annotator))
        seconds = sum(judgement.seconds for judgement in given)
        mean = seconds / len(given) if given else 0.0
        return {
            "answered": len(given),
            "left": left,
            "seconds": seconds,
            "per_minute": 60 / mean if mean > 0 else 0.0,
            "seconds_left": left * mean,
            "last": given[-1].question.id if given else None,
        }

    def outlines(self, question: Question) -> list[Outline]:
        """What there is to choose from in a question's region.

        Raises:
            DataError: the candidates are not in their folder, or an image or a candidate changed.
        """
        made = self._read(question.candidates_file)
        check_fresh(question, made, file_sha256(question.image))
        region = split_regions(question.regions, made.masks) == question.index
        return [Outline(number, outline(made.masks[number], question.box)) for number in distinct(made.masks, region)]

    def _waiting(self, annotator: str) -> list[Question]:
        waiting = self.store.unanswered(person(annotator))
        return [question for question in waiting if question.image in self.images]

    def _candidates(self, file: str) -> CandidateSet:
        if not Path(file).resolve().is_relative_to(self.candidates_dir):
            raise DataError(f"{file}: is not in {self.candidates_dir}; its candidates are not read")
        return read_candidates(file)


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


def outline(mask: np.ndarray, box: tuple[int, int, int, int], around: int = 1) -> list[list[list[float]]]:
    """Lines around a mask within a box.

    Args:
        mask: (X,Y) bool.
        box: (x0, y0, x1, y1) in pixels, half open.
        around: how many pixels beyond the box are looked at too, so that a line that leaves it does so visibly.

    Returns:
        Lines of [x, y], rounded to a tenth of a pixel.
    """
    x0, y0 = max(box[0] - around, 0), max(box[1] - around, 0)
    part = mask[x0 : box[2] + around, y0 : box[3] + around].astype(np.float32)
    if min(part.shape) < 2:
        part = np.pad(part, 1)
        x0, y0 = x0 - 1, y0 - 1
    return [np.round(line + np.array([x0, y0]), 1).tolist() for line in find_contours(part, 0.5)]
