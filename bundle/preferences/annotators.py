"""Annotators that are no persons: the truth with human faults, and the edges of the image."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from scipy import ndimage

from bundle.preferences.candidates.contour_evolution import evolve_mask

Answer = int | Literal["tie", "skip"]
"""Number of the best candidate, ``tie`` where two are equally good, ``skip`` for no answer."""


@dataclass(frozen=True)
class RegionView:
    """What an annotator gets to see of a question.

    Attributes:
        image: (X,Y) float, the whole image.
        candidates: (K,X,Y) bool, the first of them the model's own prediction.
        region: (X,Y) bool, where to judge them.
        truth: (X,Y) bool, None where it is not known.
        key: names the question.
    """

    image: np.ndarray
    candidates: np.ndarray
    region: np.ndarray
    truth: np.ndarray | None
    key: str


class Annotator(Protocol):
    """Whoever judges candidates.

    Attributes:
        reads_labels: whether it must know the truth; where not, labels are not even looked for.
    """

    reads_labels: bool

    @property
    def name(self) -> str:
        """Name in the store, ``kind:settings``; annotators that may answer differently have different names."""

    @property
    def seconds(self) -> float:
        """Time that an answer costs a person."""

    def judge(self, view: RegionView) -> Answer:
        """Answer a question."""


class OracleAnnotator:
    """Answer from the truth, with the faults of a person: the candidate of the highest regional Dice wins.

    Candidates that are the same in the region count as one, by the lowest of their numbers. Random numbers derive from
    the seed and the question's key, so answers do not depend on the order of questions.

    Args:
        noise: probability of answering one of the other candidates instead, in [0,1].
        tie_margin: answer ``tie`` where the best is ahead of the second best by less; at 0 the lower number wins.
        abstain: probability of answering ``skip``, in [0,1].
        seconds: time that an answer is said to take.
        seed: of the random numbers, from 0.

    Raises:
        ValueError: when a number is out of range.
    """

    reads_labels = True

    def __init__(
        self, noise: float = 0.0, tie_margin: float = 0.0, abstain: float = 0.0, seconds: float = 3.0, seed: int = 0
    ) -> None:
        for setting, value in (("noise", noise), ("abstain", abstain)):
            if not 0 <= value <= 1:
                raise ValueError(f"{setting} of the oracle is {value}: expected a probability in [0, 1]")
        for setting, value in (("tie_margin", tie_margin), ("seconds", seconds), ("seed", seed)):
            if not value >= 0:
                raise ValueError(f"{setting} of the oracle is {value}: expected a number from 0")
        self.noise = noise
        self.tie_margin = tie_margin
        self.abstain = abstain
        self.seconds = seconds
        self.seed = seed

    @property
    def name(self) -> str:
        """``oracle:noise=0.2``, followed by the other settings that change answers and are not 0."""
        others = {"tie_margin": self.tie_margin, "abstain": self.abstain}
        if self.noise or self.abstain:
            others["seed"] = self.seed
        return ",".join([f"oracle:noise={self.noise:g}"] + [f"{k}={v:g}" for k, v in others.items() if v])

    def judge(self, view: RegionView) -> Answer:
        """Answer a question.

        Args:
            view: with truth.

        Returns:
            The answer; ``tie`` if all candidates are the same in the region.

        Raises:
            ValueError: the truth is not known.
        """
        if view.truth is None:
            raise ValueError("the oracle needs the truth of the images it judges; add labels, or ask another annotator")
        random = np.random.default_rng([self.seed, *view.key.encode()])
        abstains, errs = random.random(2) < (self.abstain, self.noise)
        if abstains:
            return "skip"
        numbers = distinct(view.candidates, view.region)
        scores = regional_dice(view.candidates[numbers], view.truth, view.region)
        ranked = [numbers[i] for i in np.argsort(-scores, kind="stable")]
        if len(ranked) == 1 or -np.diff(-np.sort(-scores))[0] < self.tie_margin:
            return "tie"
        return ranked[random.integers(1, len(ranked))] if errs else ranked[0]


class ContourAnnotator:
    """Unsupervised preference optimisation (UPO, arXiv 2602.19423): the edges of the image answer.

    The model's own prediction, which is the first candidate, is evolved to the edges of the image, and the candidate
    of the highest regional Dice with the evolved mask wins. The truth is not looked at.

    Regions without an evolved contour nearby are skipped, for there the image had no say: what the model did not
    predict could only be denied, and what vanished may be an object with weak edges. Contours err often, so with
    ``second_opinion`` (ours) a winner must also be the best, or one of them, by the majority of the candidates.

    Args:
        margin: skip where the Dice of best and worst differ by less.
        method: see :func:`bundle.preferences.candidates.contour_evolution.evolve_mask`.
        reach: how far contours may move, in pixels. One counts as nearby within this distance of a region.
        second_opinion: skip where the majority of the candidates, morphologically opened, has another winner.

    Raises:
        ValueError: when ``margin`` is negative.
    """

    reads_labels = False
    seconds = 0.0

    def __init__(
        self, margin: float = 0.3, method: str = "geodesic", reach: float = 4.0, second_opinion: bool = True
    ) -> None:
        if not margin >= 0:
            raise ValueError(f"margin of the contour annotator is {margin}: expected a number from 0")
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

    def judge(self, view: RegionView) -> Answer:
        """Answer a question.

        Args:
            view: may lack the truth.

        Returns:
            The answer, never ``tie``.
        """
        evolved, near, vote = self.opinions(view.image, view.candidates)
        if not near[view.region].any():
            return "skip"
        scores = regional_dice(view.candidates, evolved, view.region)
        best, gap = int(scores.argmax()), scores.max() - scores.min()
        if gap == 0 or gap < self.margin:
            return "skip"
        if self.second_opinion:
            others = regional_dice(view.candidates, vote, view.region)
            return best if others[best] == others.max() else "skip"
        return best


def majority(candidates: np.ndarray) -> np.ndarray:
    """What more than half of the candidates (K,X,Y) bool have, without what is thinner than three pixels; (X,Y)."""
    return ndimage.binary_opening(candidates.mean(axis=0) > 0.5)


def regional_dice(candidates: np.ndarray, truth: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Dice of candidates with a truth in a region, ``(2 |A and B| + 1) / (|A| + |B| + 1)``.

    The added pixel keeps it defined where the truth is empty: there the candidate with the fewest pixels scores best.

    Args:
        candidates: (K,X,Y) bool.
        truth: (X,Y) bool.
        region: (X,Y) bool.

    Returns:
        (K,) in (0,1].
    """
    a, b = candidates[:, region], truth[region]
    return (2 * (a & b).sum(axis=1) + 1) / (a.sum(axis=1) + b.sum() + 1)


def distinct(candidates: np.ndarray, region: np.ndarray) -> list[int]:
    """Leave out candidates that are copies of an earlier one in a region.

    Args:
        candidates: (K,X,Y) bool.
        region: (X,Y) bool.

    Returns:
        The numbers of the others, in order.
    """
    first: dict[bytes, int] = {}
    for number, inside in enumerate(candidates[:, region]):
        first.setdefault(inside.tobytes(), number)
    return list(first.values())
