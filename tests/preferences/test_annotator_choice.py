import pytest

from bundle.preferences.annotators import (
    ANNOTATORS,
    METHODS,
    ContourAnnotator,
    OracleAnnotator,
    PeopleAnnotator,
    choose_annotator,
    judged_by_people,
)
from bundle.preferences.store.judgement_store import Candidate, Judgement, JudgementStore, Question

ORACLE, EVOLUTION = OracleAnnotator(), ContourAnnotator()
QUESTION = Question(
    "a.png", "h", "a.npz", (Candidate("x", "0"), Candidate("y", "1")), "image", 0, (0, 0, 9, 9), "m", 1.0
)


def choose(annotator: str, method: str, store="/nowhere/store.sqlite"):
    return choose_annotator(annotator, method, store, ORACLE, EVOLUTION)


@pytest.fixture
def store(tmp_path):
    """A question that the oracle has judged."""
    path = tmp_path / "store.sqlite"
    with JudgementStore(path) as judgements:
        judgements.open_questions([QUESTION])
        judgements.add(Judgement(QUESTION, 1, ORACLE.name, 3.0))
    return path


@pytest.mark.parametrize("method", METHODS)
def test_a_named_annotator_is_asked_whatever_the_method(method) -> None:
    assert choose("oracle", method) is ORACLE
    assert choose("evolution", method) is EVOLUTION
    assert isinstance(choose("people", method), PeopleAnnotator)


def test_auto_is_contours_for_upo_and_nobody_where_no_person_judged(store) -> None:
    """Labels are never read without being named."""
    assert choose("auto", "upo", store) is EVOLUTION
    for method, there in (("lpo", store), ("image_dpo", store), ("slpo", "/nowhere/store.sqlite")):
        with pytest.raises(ValueError, match=f"nobody has judged in {there}; vote on the page .*, or name oracle"):
            choose("auto", method, there)


def test_auto_is_people_once_one_judged_and_did_not_take_it_back(store) -> None:
    with JudgementStore(store) as judgements:
        judgements.add(Judgement(QUESTION, 0, "person:ada", 2.0))
    assert isinstance(choose("auto", "lpo", store), PeopleAnnotator)
    assert choose("auto", "upo", store) is EVOLUTION
    with JudgementStore(store) as judgements:
        judgements.add(Judgement(QUESTION, "undo", "person:ada", 2.0))
    with pytest.raises(ValueError, match="nobody has judged"):
        choose("auto", "lpo", store)


def test_looking_for_judgements_makes_no_store(tmp_path) -> None:
    assert not judged_by_people(tmp_path / "new.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_unknown_names() -> None:
    with pytest.raises(ValueError, match=f"method is 'rlhf', expected one of {', '.join(METHODS)}"):
        choose("auto", "rlhf")
    with pytest.raises(ValueError, match=f"annotator is 'crowd', expected one of {', '.join(ANNOTATORS)}"):
        choose("crowd", "lpo")
