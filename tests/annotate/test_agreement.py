import pytest

from bundle.annotate.agreement import agreements
from bundle.preferences.store.records import Candidate, Judgement, Question

CANDIDATES = (Candidate("as it is", "a"), Candidate("evolved", "b"), Candidate("turned", "c"))


def question(index):
    return Question("a.png", "image", "a.npz", CANDIDATES, "grid:8", index, (0, 0, 8, 8), "model", 1.0)


def judgements(annotator, given):
    return [Judgement(question(index), chosen, annotator, 1.0) for index, chosen in enumerate(given)]


def test_kappa_is_what_is_left_of_the_agreement_after_chance():
    (pair,) = agreements([*judgements("person:bob", [0, 1, 1, 1]), *judgements("person:ada", [0, 0, 1, 1])])
    assert pair["annotators"] == ["person:ada", "person:bob"]
    assert (pair["questions"], pair["same"]) == (4, 0.75)
    by_chance = 0.5 * 0.25 + 0.5 * 0.75
    assert pair["kappa"] == pytest.approx((0.75 - by_chance) / (1 - by_chance))


def test_a_tie_is_a_choice_and_a_skipped_question_is_none():
    (pair,) = agreements([*judgements("person:ada", [0, "tie", "skip"]), *judgements("person:bob", [0, "tie", 1])])
    assert (pair["questions"], pair["same"], pair["kappa"]) == (2, 1.0, 1.0)


def test_one_choice_throughout_has_no_kappa():
    (pair,) = agreements([*judgements("person:ada", [1, 1]), *judgements("person:bob", [1, 1])])
    assert pair["same"] == 1.0 and pair["kappa"] is None


def test_pairs_are_of_those_who_judged_the_same_question():
    three = [
        *judgements("person:ada", [0]),
        *judgements("person:bob", [0, 1]),
        Judgement(question(1), 1, "person:cid", 1.0),
    ]
    assert [pair["annotators"] for pair in agreements(three)] == [
        ["person:ada", "person:bob"],
        ["person:bob", "person:cid"],
    ]
