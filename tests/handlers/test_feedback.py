import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import CacheDataset
from torch import nn

from bundle import keys as K
from bundle.errors import DataError
from bundle.handlers import Feedback
from bundle.preferences.annotators import (
    Annotator,
    ContourAnnotator,
    OracleAnnotator,
    PeopleAnnotator,
    RegionView,
)
from bundle.preferences.questions.questionnaire import Questionnaire
from bundle.preferences.store.judgement_store import Judgement, JudgementStore
from tests.preferences.hand_made import COUNT, REGIONS, HandMade, dataset

QUESTIONS = 2 * COUNT


class Counting(OracleAnnotator):
    """An oracle that remembers what it was asked."""

    def __init__(self, **settings) -> None:
        super().__init__(**settings)
        self.views: list[RegionView] = []

    def judge(self, view: RegionView):
        self.views.append(view)
        return super().judge(view)


@pytest.fixture
def build(tmp_path) -> Callable[..., Feedback]:
    """A handler on two images of six regions; what is on disk is there for the next one too."""

    def make(
        annotator: Annotator, every: int = 0, labels: bool = True, none_teaches: str = "nothing", **settings
    ) -> Feedback:
        images = dataset(tmp_path, labels=labels)
        asks = Questionnaire(images, HandMade(), tmp_path / "candidates", REGIONS, strategy="random", **settings)
        policy = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(policy.weight)
        training = CacheDataset([], lambda item: item, progress=False)
        store = tmp_path / "new" / "store.sqlite"
        return Feedback(training, asks, store, annotator, policy, {}, every, none_teaches=none_teaches)

    return make


def run(rounds: Feedback, epochs: int = 1, start: int = 0) -> list[list[dict]]:
    """Train, adding 1 to the policy's weight in each epoch; the items of each. ``start``: epochs of a run before."""
    seen = []

    def step(_engine: Engine, _batch: None) -> None:
        seen.append(list(rounds.dataset.data))
        with torch.no_grad():
            rounds.policy.weight.add_(1)

    engine = Engine(step)
    if start:
        engine.load_state_dict({"iteration": start, "epoch_length": 1, "max_epochs": epochs})
    rounds.attach(engine)
    rounds.metrics = engine.state.metrics
    engine.run([None], max_epochs=epochs)
    return seen


def records(rounds: Feedback) -> list[Judgement]:
    with JudgementStore(rounds.store, create=False) as store:
        return store.history()


def judged(items: list[dict]) -> list[tuple[str, int, int]]:
    """Candidates file within its folder, region and chosen candidate of all judgements of items."""
    return sorted(
        ("/".join(Path(item[K.CANDIDATES_FILE]).parts[-2:]), index, choice)
        for item in items
        for _, index, choice, _ in item[K.JUDGEMENTS]
    )


def test_the_oracles_judgements_fill_store_and_data_set(build) -> None:
    rounds = build(OracleAnnotator(seconds=2.5))
    (items,) = run(rounds)
    right = [(f"candidates/{name}.npy.npz", i, i % 3) for name in "ab" for i in range(COUNT)]
    assert judged(items) == right
    assert {(j.question.region_index, j.chosen) for j in records(rounds)} == {(i, i % 3) for i in range(COUNT)}
    assert {(j.annotator, j.seconds) for j in records(rounds)} == {("oracle:noise=0", 2.5)}
    assert rounds.metrics == {
        "feedback/questions": QUESTIONS,
        "feedback/judged": QUESTIONS,
        "feedback/none": 0,
        "feedback/seconds": 2.5 * QUESTIONS,
    }
    assert len(rounds.dataset) == 2 and rounds.dataset[0] == items[0]


def test_annotators_see_image_truth_and_region(build) -> None:
    oracle = Counting()
    run(build(oracle))
    assert len(oracle.views) == QUESTIONS
    for view in oracle.views:
        np.testing.assert_array_equal(view.truth, view.image > 0)
        assert view.region.sum() == 64
        right = [k for k, mask in enumerate(view.candidates) if (mask == view.truth)[view.region].all()]
        assert len(right) == 1


def test_a_second_start_asks_nothing_twice(build) -> None:
    first, oracle = build(OracleAnnotator()), Counting()
    (items,) = run(first)
    second = build(oracle)
    assert run(second) == [items]
    assert oracle.views == [] and second.questionnaire.maker.made == []
    assert len(records(second)) == QUESTIONS


def test_another_annotator_is_asked_and_does_not_hear_the_first(build) -> None:
    run(build(OracleAnnotator()))
    wrong = build(OracleAnnotator(noise=1.0))
    (items,) = run(wrong)
    assert all(choice != index % 3 for _, index, choice in judged(items))
    assert len(records(wrong)) == 2 * QUESTIONS


def test_a_budget_asks_the_ceiling_of_its_share(build) -> None:
    oracle = Counting()
    (items,) = run(build(oracle, budget=0.15))
    assert len(oracle.views) == len(judged(items)) == 2  # of 12


def test_a_smaller_budget_learns_from_no_more_than_it_paid_for(build) -> None:
    run(build(OracleAnnotator()))
    later = build(OracleAnnotator(), budget=0.25)
    (items,) = run(later)
    assert len(judged(items)) == later.metrics["feedback/questions"] == 3


def test_skipped_questions_cost_time_and_teach_nothing(build) -> None:
    rounds = build(OracleAnnotator(abstain=0.5, seconds=1.0))
    (items,) = run(rounds)
    chosen = [j for j in records(rounds) if j.chosen != "skip"]
    assert 0 < len(chosen) < QUESTIONS
    assert len(judged(items)) == rounds.metrics["feedback/judged"] == len(chosen)
    assert rounds.metrics["feedback/seconds"] == QUESTIONS


def test_few_candidates_are_shown_and_cost_less(build) -> None:
    oracle = Counting(seconds=1.0, seconds_each=0.5)
    rounds = build(oracle, shown_count=2)
    (items,) = run(rounds)
    shown = {question.id: question.shown for question in (record.question for record in records(rounds))}
    assert {len(numbers) for numbers in shown.values()} == {2}
    for record in records(rounds):
        assert record.chosen in record.question.shown and record.seconds == 2.0
    assert [len(view.shown) for view in oracle.views] == [2] * QUESTIONS
    assert {options for item in items for *_, options in item[K.JUDGEMENTS]} <= set(shown.values())


def test_people_are_read_and_not_asked(build) -> None:
    oracle = build(OracleAnnotator())
    run(oracle)
    ada, *_ = records(oracle)
    with JudgementStore(oracle.store) as store:
        store.add(Judgement(ada.question, 2, "person:ada", 4.0))
    people = build(PeopleAnnotator())
    (items,) = run(people)
    assert judged(items) == [(f"candidates/{Path(ada.question.candidates_file).name}", ada.question.region_index, 2)]
    counted = {"feedback/questions": 1, "feedback/judged": 1, "feedback/none": 0}
    assert people.metrics == {**counted, "feedback/seconds": 4.0}
    assert people.questionnaire.maker.made == []


def test_people_who_have_not_judged(build) -> None:
    people = build(PeopleAnnotator())
    with pytest.raises(DataError, match="no such store of judgements; open questions with configs"):
        run(people)
    run(build(OracleAnnotator()))
    with pytest.raises(DataError, match="no chosen candidate in 0 judgements, nothing to learn"):
        run(people)
    assert people.questionnaire.maker.made == []


def test_an_annotator_without_an_opinion(build) -> None:
    with pytest.raises(DataError, match=f"no chosen candidate in {QUESTIONS} judgements"):
        run(build(OracleAnnotator(abstain=1.0)))


def test_the_oracle_misses_its_labels_before_anything_is_made(build) -> None:
    with pytest.raises(DataError, match=r"a\.npy: has no label, which oracle:noise=0 needs"):
        build(OracleAnnotator(), labels=False)
    build(ContourAnnotator(), labels=False)
    build(PeopleAnnotator(), labels=False)


def test_contours_need_no_labels(build) -> None:
    rounds = build(ContourAnnotator(margin=0.0), labels=False)
    run(rounds)
    assert {j.annotator.partition(":")[0] for j in records(rounds)} == {"evolution"}


def test_online_rounds_judge_new_candidates_of_the_policy_as_it_is(build) -> None:
    oracle = Counting()
    rounds = build(oracle, every=2)
    seen = run(rounds, epochs=5)
    assert [len(items) for items in seen] == [2, 2, 4, 4, 6]
    assert rounds.questionnaire.maker.made == [(f"{name}.npy", weight) for weight in (0, 2, 4) for name in "ab"]
    folders = {Path(item[K.CANDIDATES_FILE]).parent.name for item in seen[-1]}
    assert folders == {"candidates", "round_1", "round_2"}
    assert len(oracle.views) == len(judged(seen[-1])) == 3 * QUESTIONS
    assert rounds.metrics["feedback/questions"] == 3 * QUESTIONS


def test_no_round_behind_the_last_epoch(build) -> None:
    rounds = build(OracleAnnotator(), every=2)
    run(rounds, epochs=4)
    assert len(rounds.questionnaire.maker.made) == 4


@pytest.mark.parametrize("every", [1, 2, 3])
def test_a_resumed_run_repeats_no_question_and_forgets_no_round(build, every) -> None:
    before = run(build(OracleAnnotator(), every=every), epochs=4)
    oracle = Counting()
    resumed = build(oracle, every=every)
    (last,) = run(resumed, epochs=4, start=3)
    assert oracle.views == [] and resumed.questionnaire.maker.made == []
    assert judged(last) == judged(before[-1])


def test_a_run_killed_between_an_epoch_and_its_round_makes_it_up(build) -> None:
    run(build(OracleAnnotator(), every=2), epochs=2)  # ends before the round behind epoch 2
    resumed = build(OracleAnnotator(), every=2)
    seen = run(resumed, epochs=3, start=2)
    assert [len(items) for items in seen] == [4]
    assert {Path(item[K.CANDIDATES_FILE]).parent.name for item in seen[0]} == {"candidates", "round_1"}


def test_a_new_run_in_the_same_folder_makes_its_rounds_anew(build, caplog) -> None:
    run(build(OracleAnnotator(), every=1), epochs=2)
    again = build(OracleAnnotator(), every=1)
    nn.init.constant_(again.policy.weight, 5)
    run(again, epochs=2)
    assert again.questionnaire.maker.made == [("a.npy", 6), ("b.npy", 6)]  # those of the start are kept, with a warning
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert line.startswith("2 candidate files in") and "are of another network" in line


def test_no_round_for_a_run_that_was_stopped(build) -> None:
    rounds = build(OracleAnnotator(), every=1)
    engine = Engine(lambda *_: None)
    engine.add_event_handler(Events.EPOCH_COMPLETED, engine.terminate)
    rounds.attach(engine)
    engine.run([None], max_epochs=3)
    assert len(rounds.questionnaire.maker.made) == 2


def test_what_the_oracle_sees_does_not_depend_on_where_files_lie(build) -> None:
    run(build(OracleAnnotator(noise=0.5)))
    question = records(build(PeopleAnnotator()))[0].question
    moved = dataclasses.replace(question, image="/b.npy", candidates_file="/b.npz")
    assert moved.id != question.id and moved.seen == question.seen


@pytest.mark.parametrize(("annotator", "every"), [(OracleAnnotator(), -1), (PeopleAnnotator(), 2)])
def test_rounds_that_cannot_be(build, annotator, every) -> None:
    with pytest.raises(ValueError, match=f"feedback_every is {every}: 0, or a number of epochs and an annotator"):
        build(annotator, every=every)


def test_several_processes(build, monkeypatch) -> None:
    monkeypatch.setattr("bundle.handlers.feedback.idist.get_world_size", lambda: 2)
    with pytest.raises(ValueError, match="preference learning runs in one process, not in 2"):
        build(OracleAnnotator())


def test_none_of_these_is_counted_and_teaches_what_is_said(build) -> None:
    class Choosy(OracleAnnotator):
        def judge(self, view: RegionView):
            return "none" if view.candidates[0][view.region].sum() % 2 else super().judge(view)

    rounds = build(Choosy())
    (items,) = run(rounds)
    none = sum(judgement.chosen == "none" for judgement in records(rounds))
    assert 0 < none == rounds.metrics["feedback/none"] and len(judged(items)) == QUESTIONS - none
    rounds.none_teaches = "no_anchor"
    (items,) = run(rounds)
    assert [choice for *_, choice in judged(items)].count(K.NONE) == none
    assert rounds.metrics["feedback/judged"] == QUESTIONS - none


def test_only_none_of_these_is_nothing_to_learn(build) -> None:
    class Never(OracleAnnotator):
        def judge(self, view: RegionView):
            return "none"

    with pytest.raises(DataError, match="no chosen candidate"):
        run(build(Never(), none_teaches="less_likely"))
