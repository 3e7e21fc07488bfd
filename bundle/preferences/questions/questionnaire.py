"""Makes candidates of images, and questions about the regions where they disagree."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from monai.data import Dataset
from tqdm import tqdm

from bundle import keys as K
from bundle.atomic import make_folder
from bundle.data.image_files import stem
from bundle.errors import DataError, SettingError
from bundle.networks.promptable_segmenter import PromptableSegmenter
from bundle.preferences.candidates.comparison import diversity, representatives
from bundle.preferences.candidates.files import (
    CandidateSet,
    file_sha256,
    mask_sha256,
    read_candidates,
    write_candidates,
)
from bundle.preferences.candidates.maker import CandidateMaker
from bundle.preferences.questions.priorities import choose_by_budget, priorities, spread_over_images
from bundle.preferences.questions.regions import region_box, split_regions
from bundle.preferences.store.judgement_store import Candidate, JudgementStore, Question
from bundle.state_files import state_sha256

logger = logging.getLogger(__name__)


class Questionnaire:
    """Candidates of a set of images, and the questions that a budget allows.

    Args:
        dataset: items with ``image`` (3,X,Y), the given clicks in it; its ``data`` tells their paths.
        maker: of candidates.
        folder: where candidate files go, one an image.
        region_split: how an image is split, see :mod:`bundle.preferences.questions.regions`.
        strategy: which regions are asked first, see :mod:`bundle.preferences.questions.priorities`.
        budget: share of the regions with enough disagreement that are asked about, in (0,1].
        min_disputed: a region is asked about when its candidates disagree on at least so many pixels.
        seed: of the strategy ``random``.
        shown_count: largest number of candidates that are shown, at least 2; None for all. They are those that stand
            best for all in the region, see :func:`bundle.preferences.candidates.comparison.representatives`.
        image_discount: see :func:`bundle.preferences.questions.priorities.spread_over_images`.

    Raises:
        SettingError: ``region_split``, ``strategy``, ``budget``, ``min_disputed``, ``shown_count`` or
            ``image_discount`` cannot be.
        DataError: two images have one name.
    """

    def __init__(
        self,
        dataset: Dataset,
        maker: CandidateMaker,
        folder: str | Path,
        region_split: str,
        strategy: str = "disagreement",
        budget: float = 1.0,
        min_disputed: int = 4,
        seed: int = 0,
        shown_count: int | None = None,
        image_discount: float = 1.0,
    ) -> None:
        self.dataset = dataset
        self.maker = maker
        self.folder = Path(folder)
        self.region_split = region_split
        self.strategy = strategy
        self.budget = budget
        self.min_disputed = min_disputed
        self.seed = seed
        self.shown_count = shown_count
        self.image_discount = image_discount
        if shown_count is not None and shown_count < 2:
            raise SettingError(f"shown_count is {shown_count}: expected at least 2 candidates to choose from, or null")
        # On one pixel without dispute, so that a bad setting is refused before candidates are made.
        pixel = np.zeros((2, 1, 1), dtype=bool)
        priorities(strategy, pixel, pixel[0], split_regions(region_split, pixel), min_disputed=min_disputed)
        choose_by_budget([], budget)
        spread_over_images([], [], image_discount)
        names = [stem(path) for path in self.images]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise DataError(f"{self.folder}: candidates are named by their image, and two are called {twice}")

    @property
    def images(self) -> list[str]:
        """Paths of the images."""
        return [str(item[K.IMAGE]) for item in self.dataset.data]

    def make_candidates(
        self,
        policy: PromptableSegmenter,
        others: Mapping[str, PromptableSegmenter] | None = None,
        folder: Path | None = None,
        outdated: str = "warn",
    ) -> list[Path]:
        """Write the candidates of every image that has none yet, so a run that is killed goes on where it was.

        Args:
            policy: makes them, see :class:`CandidateMaker`.
            others: give a candidate each, by name; None for no others.
            folder: other than the usual one.
            outdated: how to treat candidates of other weights than the policy has now: ``keep``,
                ``warn`` (keep and log a warning) or ``replace``.

        Returns:
            The files, in the order of the images.

        Raises:
            DataError: an image changed since its candidates were made.
        """
        folder = folder or self.folder
        make_folder(folder)
        files = [folder / f"{stem(path)}.npz" for path in self.images]
        model, missing, strange = state_sha256(policy.state_dict()), [], []
        for i, (file, image) in enumerate(zip(files, self.images, strict=True)):
            if not file.is_file():
                missing.append(i)
                continue
            there = read_candidates(file)
            if there.image_sha256 != file_sha256(image):
                raise DataError(f"{file}: {image} changed since these candidates were made; delete the file")
            if there.model != model:
                strange.append(i)
        if outdated == "replace":
            missing = sorted(missing + strange)
        elif outdated == "warn" and strange:
            logger.warning(
                "%d candidate files in %s are of another network and are used as they are; for new ones delete them or "
                "set candidates_dir",
                len(strange),
                folder,
            )
        for i in tqdm(missing, desc="candidates", disable=not missing):
            self._make(i, policy, others or {}, model, files[i])
        if missing:
            spread = [diversity(read_candidates(file).masks) for file in files]
            logger.info(
                "made candidates of %d images in %s, mean Jaccard distance %.2f",
                len(missing),
                folder,
                sum(spread) / len(spread),
            )
        return files

    def _make(
        self,
        i: int,
        policy: PromptableSegmenter,
        others: Mapping[str, PromptableSegmenter],
        model: str,
        file: Path,
    ) -> None:
        path, device = self.images[i], next(policy.parameters()).device
        image = torch.as_tensor(self.dataset[i][K.IMAGE]).to(device)
        masks, made, probability = self.maker(policy, others, image, key=file.stem)
        write_candidates(file, CandidateSet(path, file_sha256(path), masks, made, probability, model))

    def questions(self, files: Sequence[Path]) -> list[Question]:
        """The questions within the budget, the most urgent first.

        Args:
            files: of candidates.
        """
        found = [question for file in files for question in self._questions_of(file)]
        if not found:
            return []
        given = [question.priority for question in found]
        lowered = spread_over_images(given, [question.image for question in found], self.image_discount)
        return [replace(found[i], priority=lowered[i]) for i in choose_by_budget(lowered, self.budget)]

    def _questions_of(self, file: Path) -> list[Question]:
        made = read_candidates(file)
        region_map = split_regions(self.region_split, made.masks)
        urgent = priorities(
            self.strategy,
            made.masks,
            made.probability,
            region_map,
            seed=self.seed,
            key=file.stem,
            min_disputed=self.min_disputed,
        )
        candidates = tuple(Candidate(how, mask_sha256(mask)) for how, mask in zip(made.made, made.masks, strict=True))
        return [
            Question(
                image=made.image,
                image_sha256=made.image_sha256,
                candidates_file=str(file.absolute()),
                candidates=candidates,
                region_split=self.region_split,
                region_index=index,
                box=region_box(region_map == index),
                model=made.model,
                priority=priority,
                shown=self._shown(made.masks, region_map == index),
            )
            for index, priority in urgent.items()
        ]

    def _shown(self, masks: np.ndarray, region: np.ndarray) -> tuple[int, ...]:
        """Numbers of the candidates that are shown in a region, empty for all."""
        if self.shown_count is None or self.shown_count >= len(masks):
            return ()
        return tuple(representatives(masks, region, self.shown_count))

    def open(self, policy: PromptableSegmenter, store: str | Path) -> None:
        """Make candidates and open the questions in the store.

        Args:
            policy: makes the candidates.
            store: file of the store.
        """
        questions = self.questions(self.make_candidates(policy))
        make_folder(Path(store).parent)
        with JudgementStore(store) as judgements:
            new = judgements.open_questions(questions)
        logger.info("%d questions in %s, %d of them new", len(questions), store, new)
