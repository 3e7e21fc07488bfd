"""Who judges candidates: people, the truth with human faults, or the edges of the image."""

from __future__ import annotations

import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from scipy import ndimage

from bundle.errors import DataError, SettingError
from bundle.preferences.candidates.comparison import distinct, majority, regional_dice
from bundle.preferences.candidates.contour_evolution import evolve_mask
from bundle.preferences.store.judgement_store import JudgementStore
from bundle.preferences.store.records import Judgement, Question

METHODS = ("lpo", "slpo", "upo", "image_dpo")
ANNOTATORS = ("auto", "people", "oracle", "evolution")

logger = logging.getLogger(__name__)

Choice = int | Literal["none", "tie", "skip"]
"""Number of the chosen candidate, ``none`` where none of them will do, ``tie`` where two are equally good,
``skip`` for no judgement."""


@dataclass(frozen=True)
class RegionView:
    """What an annotator gets to see of a question.

    Attributes:
        image: (X,Y) float, the whole image.
        candidates: (K,X,Y) bool, the first of them the model's own prediction.
        region: (X,Y) bool, where to judge them.
        truth: (X,Y) bool, None where it is not known.
        key: names the question.
        shown: numbers of the candidates of which one may be chosen, empty for all.
    """

    image: np.ndarray
    candidates: np.ndarray
    region: np.ndarray
    truth: np.ndarray | None
    key: str
    shown: tuple[int, ...] = ()

    @property
    def options(self) -> list[int]:
        """Numbers of the candidates that may be chosen, without copies in the region."""
        numbers = list(self.shown) or list(range(len(self.candidates)))
        return [numbers[i] for i in distinct(self.candidates[numbers], self.region)]


class Annotator(ABC):
    """Whoever judges candidates.

    Attributes:
        reads_labels: whether it must know the truth; where not, labels are not even looked for.
    """

    reads_labels = False

    @property
    @abstractmethod
    def name(self) -> str:
        """Name in messages, and of a program in the store; those that may judge differently have different names."""

    @abstractmethod
    def judgements(self, store: JudgementStore, asked: Collection[Question]) -> list[Judgement]:
        """The judgements in a store that count.

        Args:
            store: the store.
            asked: the questions that the annotator was put in this training.
        """


class PeopleAnnotator(Annotator):
    """The people whose judgements a store has, given before the training; all of them count. They cannot be asked."""

    @property
    def name(self) -> str:
        """``people``."""
        return "people"

    def judgements(self, store: JudgementStore, asked: Collection[Question]) -> list[Judgement]:
        """All judgements of people."""
        return store.judgements(kind="person")


class SimulatedAnnotator(Annotator):
    """A program that judges when it is asked. Its name is ``kind:settings``.

    Attributes:
        seconds: time that a judgement would cost a person.
        seconds_each: and for each candidate that differs in the region from those before it.
    """

    seconds: float
    seconds_each = 0.0

    def seconds_for(self, view: RegionView) -> float:
        """Time that a judgement of this question would cost a person."""
        return self.seconds + self.seconds_each * len(view.options)

    @abstractmethod
    def judge(self, view: RegionView) -> Choice:
        """Judge a question."""

    def judgements(self, store: JudgementStore, asked: Collection[Question]) -> list[Judgement]:
        """Its own judgements of the questions asked in this training; others may belong to a larger budget."""
        ids = {question.id for question in asked}
        return [judgement for judgement in store.judgements(annotator=self.name) if judgement.question.id in ids]


class OracleAnnotator(SimulatedAnnotator):
    """Judge by the truth, with the faults of a person: the candidate of the highest regional Dice is chosen.

    Candidates that are the same in the region count as one, by the lowest of their numbers. Random numbers derive from
    the seed and the question's key, so judgements do not depend on the order of questions.

    Args:
        noise: probability of choosing one of the other candidates instead, in [0,1].
        none_below: ``none`` where the regional Dice of the best is below this, in [0,1]; 0 for never.
        tie_margin: ``tie`` where the best is ahead of the second best by less; at 0 the lower number is chosen.
        abstain: probability of ``skip``, in [0,1].
        seconds, seconds_each: time that a judgement is said to take, and more for each candidate to compare.
        seed: of the random numbers, from 0.

    Raises:
        SettingError: when a number is out of range.
    """

    reads_labels = True

    def __init__(
        self,
        noise: float = 0.0,
        none_below: float = 0.0,
        tie_margin: float = 0.0,
        abstain: float = 0.0,
        seconds: float = 3.0,
        seconds_each: float = 0.0,
        seed: int = 0,
    ) -> None:
        for setting, value in (("noise", noise), ("abstain", abstain)):
            if not 0 <= value <= 1:
                raise SettingError(f"{setting} of the oracle is {value}: expected a probability in [0, 1]")
        if not 0 <= none_below <= 1:
            raise SettingError(f"none_below of the oracle is {none_below}: expected a Dice in [0, 1]")
        numbers = {"tie_margin": tie_margin, "seconds": seconds, "seconds_each": seconds_each, "seed": seed}
        for setting, value in numbers.items():
            if not value >= 0:
                raise SettingError(f"{setting} of the oracle is {value}: expected a number from 0")
        self.noise = noise
        self.none_below = none_below
        self.tie_margin = tie_margin
        self.abstain = abstain
        self.seconds = seconds
        self.seconds_each = seconds_each
        self.seed = seed

    @property
    def name(self) -> str:
        """``oracle:noise=0.2``, followed by the other settings that change judgements and are not 0."""
        others = {"none_below": self.none_below, "tie_margin": self.tie_margin, "abstain": self.abstain}
        if self.noise or self.abstain:
            others["seed"] = self.seed
        return ",".join([f"oracle:noise={self.noise:g}"] + [f"{k}={v:g}" for k, v in others.items() if v])

    def judge(self, view: RegionView) -> Choice:
        """Judge a question.

        Args:
            view: with truth.

        Returns:
            The choice; ``tie`` if all candidates are the same in the region. An error is always a candidate.

        Raises:
            DataError: the truth is not known.
        """
        if view.truth is None:
            raise DataError("the oracle needs the truth of the images it judges; add labels, or ask another annotator")
        random = np.random.default_rng([self.seed, *view.key.encode()])
        abstains, errs = random.random(2) < (self.abstain, self.noise)
        if abstains:
            return "skip"
        numbers = view.options
        scores = regional_dice(view.candidates[numbers], view.truth, view.region)
        ranked: list[int] = [numbers[i] for i in np.argsort(-scores, kind="stable")]
        if scores.max() < self.none_below:
            return ranked[random.integers(0, len(ranked))] if errs else "none"
        if len(ranked) == 1 or -np.diff(-np.sort(-scores))[0] < self.tie_margin:
            return "tie"
        return ranked[random.integers(1, len(ranked))] if errs else ranked[0]


class ContourAnnotator(SimulatedAnnotator):
    """Unsupervised preference optimisation (UPO, arXiv 2602.19423): the edges of the image judge.

    The model's own prediction, which is the first candidate, is evolved to the edges of the image, and the candidate
    of the highest regional Dice with the evolved mask wins. The truth is not looked at.

    Regions without an evolved contour nearby are skipped: there the image gives no evidence. An object that the model
    did not predict could only be denied, and one that vanished may have weak edges. Contours err often, so with
    ``second_opinion`` (ours) the chosen candidate must also be the best, or one of them, by the majority of all.

    Args:
        margin: skip where the Dice of best and worst differ by less.
        method: see :func:`bundle.preferences.candidates.contour_evolution.evolve_mask`.
        reach: how far contours may move, in pixels. One counts as nearby within this distance of a region.
        second_opinion: skip where the majority of the candidates, morphologically opened, has another best candidate.

    Raises:
        SettingError: when ``margin`` is negative.
    """

    seconds = 0.0

    def __init__(
        self, margin: float = 0.3, method: str = "geodesic", reach: float = 4.0, second_opinion: bool = True
    ) -> None:
        if not margin >= 0:
            raise SettingError(f"margin of the contour annotator is {margin}: expected a number from 0")
        self.margin = margin
        self.method = method
        self.reach = reach
        self.second_opinion = second_opinion
        self._latest: tuple[bytes, tuple[np.ndarray, np.ndarray, np.ndarray]] | None = None

    @property
    def name(self) -> str:
        """Such as ``evolution:geodesic,reach=4,margin=0.3,second_opinion``."""
        other = ",second_opinion" if self.second_opinion else ""
        return f"evolution:{self.method},reach={self.reach:g},margin={self.margin:g}{other}"

    def opinions(self, image: np.ndarray, candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What an image's candidates are compared with. The latest is remembered, for an image has many regions.

        Args:
            image: (X,Y) float.
            candidates: (K,X,Y) bool, the first of them the model's own prediction.

        Returns:
            The evolved prediction, what lies within ``reach`` of it, and the majority of the candidates; (X,Y) bool.
        """
        content = hashlib.sha256(image.tobytes() + candidates.tobytes()).digest()
        if self._latest is None or self._latest[0] != content:
            evolved = evolve_mask(image, candidates[0], self.method, self.reach)
            near = ndimage.distance_transform_edt(~evolved) <= self.reach if evolved.any() else evolved
            self._latest = content, (evolved, near, majority(candidates))
        return self._latest[1]

    def judge(self, view: RegionView) -> Choice:
        """Judge a question.

        Args:
            view: may lack the truth.

        Returns:
            The choice, never ``tie``.
        """
        evolved, near, vote = self.opinions(view.image, view.candidates)
        if not near[view.region].any():
            return "skip"
        numbers = view.options
        scores = regional_dice(view.candidates[numbers], evolved, view.region)
        best, gap = int(scores.argmax()), scores.max() - scores.min()
        if gap == 0 or gap < self.margin:
            return "skip"
        if self.second_opinion:
            others = regional_dice(view.candidates[numbers], vote, view.region)
            return numbers[best] if others[best] == others.max() else "skip"
        return numbers[best]


def choose_annotator(
    annotator: str, method: str, store: str | Path, oracle: Annotator, evolution: Annotator
) -> Annotator:
    """Find the annotator that a configuration names.

    Args:
        annotator: ``people``, ``oracle``, ``evolution``, or ``auto``: contours for ``upo``, else people if the store
            has judgements of theirs. Labels are read only where the oracle is named.
        method: ``lpo``, ``slpo``, ``upo`` or ``image_dpo``.
        store: file of the store.
        oracle: knows the labels.
        evolution: knows the edges.

    Returns:
        The annotator.

    Raises:
        SettingError: the annotator or the method is unknown, or ``auto`` finds nobody.
    """
    for name, value, known in (("method", method, METHODS), ("annotator", annotator, ANNOTATORS)):
        if value not in known:
            raise SettingError(f"{name} is {value!r}, expected one of {', '.join(known)}")
    if annotator == "auto":
        if method != "upo" and not judged_by_people(store):
            raise SettingError(
                f"annotator is 'auto', and nobody has judged in {store}; vote on the page (make annotate), or name "
                "oracle (labels judge) or evolution (contours judge)"
            )
        annotator = "evolution" if method == "upo" else "people"
        logger.info("judgements come from: %s", annotator)
    return {"people": PeopleAnnotator(), "oracle": oracle, "evolution": evolution}[annotator]


def judged_by_people(store: str | Path) -> bool:
    """Whether a store exists and has judgements of people."""
    if not Path(store).is_file():
        return False
    with JudgementStore(store, create=False) as judgements:
        return bool(judgements.judgements(kind="person"))
