"""Where a preference trainer gets its judgements: from the store, which a simulated annotator may fill first."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import ignite.distributed as idist
import numpy as np
from ignite.engine import Engine, Events
from monai.data import CacheDataset

from bundle import keys as K
from bundle.atomic import make_folder
from bundle.channels import em_of
from bundle.errors import DataError, SettingError
from bundle.networks.promptable_segmenter import PromptableSegmenter
from bundle.preferences.annotators import Annotator, RegionView, SimulatedAnnotator
from bundle.preferences.candidates.files import read_candidates
from bundle.preferences.judged_items import check_none_teaches, judged_items
from bundle.preferences.questions.questionnaire import Questionnaire
from bundle.preferences.questions.regions import split_regions
from bundle.preferences.store.judgement_store import Judgement, JudgementStore, Question


class Feedback:
    """Fill a training set with judged images when the training starts, and again in online rounds.

    A round makes candidates, opens questions and has the annotator judge those it has not judged yet; all of it
    goes through the store, and training reads only the store. People are not asked: they have judged before.

    Adds to ``engine.state.metrics``: ``feedback/questions``, ``feedback/judged`` (with a chosen candidate),
    ``feedback/none`` (judgements *none of these*), ``feedback/seconds`` of the annotator's time.

    Args:
        dataset: to be filled, see :class:`bundle.transforms.LoadJudgementsd`.
        questionnaire: of the images that may be judged.
        store: file of the store.
        annotator: whose judgements count.
        policy: makes the candidates, see :class:`bundle.preferences.candidates.CandidateMaker`.
        others: networks that give a candidate each, by name.
        every: epochs between rounds with candidates of the policy as it then is; 0 for one round, at the start.
        stale, none_teaches: see :func:`bundle.preferences.judged_items.judged_items`.

    Raises:
        SettingError: when ``every`` is negative, or is set for people, who cannot be asked; when there are several
            processes; ``none_teaches`` is unknown.
        DataError: the annotator needs labels, and an image has none; on STARTED: no judgement chose a candidate,
            or one refers to what has changed.
    """

    def __init__(
        self,
        dataset: CacheDataset,
        questionnaire: Questionnaire,
        store: str | Path,
        annotator: Annotator,
        policy: PromptableSegmenter,
        others: Mapping[str, PromptableSegmenter],
        every: int = 0,
        stale: str = "refuse",
        none_teaches: str = "nothing",
    ) -> None:
        check_none_teaches(none_teaches)
        if every < 0 or (every and not isinstance(annotator, SimulatedAnnotator)):
            raise SettingError(
                f"feedback_every is {every}: 0, or a number of epochs and an annotator that can be asked"
            )
        if idist.get_world_size() > 1:
            raise SettingError(f"preference learning runs in one process, not in {idist.get_world_size()}")
        if annotator.reads_labels:
            bare = next((item[K.IMAGE] for item in questionnaire.dataset.data if K.LABEL not in item), None)
            if bare is not None:
                raise DataError(
                    f"{bare}: has no label, which {annotator.name} needs; set annotator to evolution or people"
                )
        self.dataset = dataset
        self.questionnaire = questionnaire
        self.store = Path(store)
        self.annotator = annotator
        self.policy = policy
        self.others = others
        self.every = every
        self.stale = stale
        self.none_teaches = none_teaches
        self.asked: list[Question] = []
        self.logger = logging.getLogger(__name__)

    def attach(self, engine: Engine) -> None:
        """Register on a preference trainer."""
        engine.add_event_handler(Events.STARTED, self.start)
        if self.every:
            engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.every), self.next_round)

    def start(self, engine: Engine) -> None:
        """On STARTED: the first round, and those that a resumed run has behind it."""
        done = min(engine.state.epoch, (engine.state.max_epochs or 1) - 1)
        for number in range(done // self.every + 1 if self.every else 1):
            self.ask(number, "keep" if engine.state.epoch else "warn")
        self.fill(engine)

    def next_round(self, engine: Engine) -> None:
        """On EPOCH_COMPLETED: another round, if there is an epoch left to learn from it."""
        if engine.state.epoch < (engine.state.max_epochs or 0) and not engine.should_terminate:
            self.ask(engine.state.epoch // self.every, "replace")
            self.fill(engine)

    def ask(self, number: int, outdated: str) -> None:
        """Have the annotator judge the questions of a round that it has not judged.

        Args:
            number: of the round, from 0.
            outdated: see :meth:`bundle.preferences.questions.Questionnaire.make_candidates`.
        """
        annotator = self.annotator
        if not isinstance(annotator, SimulatedAnnotator):
            return
        folder = self.questionnaire.folder / f"round_{number}" if number else self.questionnaire.folder
        files = self.questionnaire.make_candidates(self.policy, self.others, folder, outdated)
        questions = self.questionnaire.questions(files)
        self.asked += questions
        make_folder(self.store.parent)
        with JudgementStore(self.store) as store:
            store.open_questions(questions)
            judged = {judgement.question.id for judgement in store.judgements(annotator=annotator.name)}
            left = [question for question in questions if question.id not in judged]
            store.add_many(self._judge(annotator, left))

    def _judge(self, annotator: SimulatedAnnotator, questions: list[Question]) -> list[Judgement]:
        items = {path: i for i, path in enumerate(self.questionnaire.images)}
        judgements = []
        for file in sorted({question.candidates_file for question in questions}):
            own = [question for question in questions if question.candidates_file == file]
            item = self.questionnaire.dataset[items[own[0].image]]
            em = np.asarray(em_of(item[K.IMAGE]))[0]
            truth = np.asarray(item[K.LABEL])[0] > 0 if K.LABEL in item else None
            masks = read_candidates(file).masks
            region_map = split_regions(self.questionnaire.region_split, masks)
            for question in own:
                region = region_map == question.region_index
                view = RegionView(em, masks, region, truth, question.seen, question.shown)
                chosen, seconds = annotator.judge(view), annotator.seconds_for(view)
                judgements.append(Judgement(question, chosen, annotator.name, seconds))
        return judgements

    def fill(self, engine: Engine) -> None:
        """Give the data set the judgements of the store."""
        if not self.store.is_file():
            raise DataError(f"{self.store}: no such store of judgements; open questions with configs/candidates.json")
        with JudgementStore(self.store) as store:
            judgements = self.annotator.judgements(store, self.asked)
        items = judged_items(judgements, self.questionnaire.dataset.data, self.stale, self.none_teaches)
        judged = sum(chosen != K.NONE for item in items for *_, chosen, _ in item[K.JUDGEMENTS])
        if judged == 0:
            count = len(judgements)
            raise DataError(f"{self.store}: no chosen candidate in {count} judgements, nothing to learn")
        self.dataset.set_data(items)
        metrics = {
            "feedback/questions": len({judgement.question.id for judgement in judgements}),
            "feedback/judged": judged,
            "feedback/none": sum(judgement.chosen == "none" for judgement in judgements),
            "feedback/seconds": sum(judgement.seconds for judgement in judgements),
        }
        engine.state.metrics.update(metrics)
        self.logger.info(
            "%d questions judged, %d with a chosen candidate, %d with none of these, on %d images; %.0f s of the "
            "annotator's time",
            metrics["feedback/questions"],
            judged,
            metrics["feedback/none"],
            len(items),
            metrics["feedback/seconds"],
        )
