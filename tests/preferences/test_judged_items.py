from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bundle import keys as K
from bundle.errors import DataError, SettingError
from bundle.preferences.candidates.files import read_candidates
from bundle.preferences.judged_items import judged_items, most_frequent
from bundle.preferences.store.judgement_store import Candidate, Judgement, Question
from tests.preferences.hand_made import REGIONS, candidates_of, dataset, truth_of, write

ALL = (0, 1, 2)


@pytest.fixture
def items(tmp_path) -> list[dict]:
    """Images a and b, each with its file of candidates."""
    found = dataset(tmp_path).data
    for item in found:
        image = Path(item[K.IMAGE])
        write(image.with_suffix(".npz"), candidates_of(truth_of(np.load(image))), image)
    return found


def question(item: dict, index: int = 0) -> Question:
    file = Path(item[K.IMAGE]).with_suffix(".npz")
    made = read_candidates(file)
    candidates = tuple(map(Candidate, made.made, made.sha256))
    return Question(made.image, made.image_sha256, str(file), candidates, REGIONS, index, (0, 0, 8, 8), "model", 1.0)


def votes(question: Question, *chosen) -> list[Judgement]:
    return [Judgement(question, choice, f"person:{i}", 1.0) for i, choice in enumerate(chosen)]


def test_judgements_are_put_together_by_image(items) -> None:
    a, b = items
    given = [*votes(question(a, 3), 2), *votes(question(b, 1), 0), *votes(question(a, 5), 1)]
    first, second = judged_items(given, items)
    assert first == {
        K.IMAGE: a[K.IMAGE],
        K.POINTS: a[K.POINTS],
        K.POINT_LABELS: a[K.POINT_LABELS],
        K.CANDIDATES_FILE: question(a).candidates_file,
        K.JUDGEMENTS: [(REGIONS, 3, 2, ALL), (REGIONS, 5, 1, ALL)],
    }
    assert (second[K.IMAGE], second[K.JUDGEMENTS]) == (b[K.IMAGE], [(REGIONS, 1, 0, ALL)])


@pytest.mark.parametrize(
    ("chosen", "choice"),
    [
        ([1, 1, 0], 1),
        ([0, 2, 2, 1], 2),
        ([1, 0], None),
        ([0, 0, 1, 1, 2], None),
        (["tie"], None),
        (["tie", "tie", 1], None),
        (["tie", 1, 1], 1),
        (["none", "none", 1], None),
        (["none", 1, 1], 1),
        (["skip"], None),
        (["skip", "skip", 1], 1),
    ],
)
def test_most_annotators_are_right(items, chosen, choice) -> None:
    found = judged_items(votes(question(items[0]), *chosen), items)
    assert [item[K.JUDGEMENTS] for item in found] == ([] if choice is None else [[(REGIONS, 0, choice, ALL)]])


@pytest.mark.parametrize("none_teaches", ["no_anchor", "less_likely"])
def test_none_of_these_is_a_judgement_where_it_teaches(items, none_teaches) -> None:
    a, b = (question(item) for item in items)
    (found,) = judged_items([*votes(a, "none", "none", 1), *votes(b, "none", 1)], items, none_teaches=none_teaches)
    assert (found[K.IMAGE], found[K.JUDGEMENTS]) == (items[0][K.IMAGE], [(REGIONS, 0, K.NONE, ALL)])


def test_an_item_says_between_what_there_was_a_choice(items) -> None:
    asked = replace(question(items[0]), shown=(0, 2))
    (found,) = judged_items(votes(asked, 2), items)
    assert found[K.JUDGEMENTS] == [(REGIONS, 0, 2, (0, 2))]


def test_what_none_teaches_must_be_known(items) -> None:
    with pytest.raises(SettingError, match="none_teaches is 'all', expected one of nothing, no_anchor, less_likely"):
        judged_items([], items, none_teaches="all")


def test_most_frequent() -> None:
    assert most_frequent([]) is None
    assert most_frequent(["tie", 2, 2]) == 2


def test_an_image_of_another_domain(items) -> None:
    with pytest.raises(DataError, match=r"a\.npy: was judged, but is no training image of this domain"):
        judged_items(votes(question(items[0]), 1), items[1:])


def test_a_changed_image_is_refused(items) -> None:
    given = votes(question(items[0]), 1)
    np.save(items[0][K.IMAGE], np.zeros((24, 16), np.float32))
    refuses(given, items, "a.npy changed since it was judged")


def test_changed_candidates_are_refused(items) -> None:
    image = Path(items[0][K.IMAGE])
    given, masks = votes(question(items[0]), 1), candidates_of(truth_of(np.load(image)))
    masks[2, 5, 7] ^= True
    write(image.with_suffix(".npz"), masks, image)
    refuses(given, items, "candidate 2 of image")
    write(image.with_suffix(".npz"), masks[:2], image)
    refuses(given, items, "2 candidates of image")
    image.with_suffix(".npz").unlink()
    refuses(given, items, "a.npz: no such file")


def test_one_fresh_question_does_not_vouch_for_another(items) -> None:
    old = replace(question(items[0], 1), image_sha256="another")
    refuses([*votes(question(items[0]), 1), *votes(old, 1)], items, "changed since it was judged")


def test_what_is_stale_can_be_left_out(items, caplog) -> None:
    a, b = items
    old = replace(question(a, 1), image_sha256="another")
    given = [*votes(question(a), 1), *votes(old, 2), *votes(question(b), 0)]
    strange = replace(question(b), image="c.npy", candidates_file="c.npz")
    found = judged_items([*given, *votes(strange, 1)], items, stale="leave_out")
    assert [item[K.JUDGEMENTS] for item in found] == [[(REGIONS, 0, 1, ALL)], [(REGIONS, 0, 0, ALL)]]
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("2 judged questions are left out, the first because") and "changed since it was" in line
    with pytest.raises(ValueError, match="stale_judgements is 'keep', expected one of refuse, leave_out"):
        judged_items(given, items, stale="keep")


def refuses(given: list[Judgement], items: list[dict], text: str) -> None:
    with pytest.raises(DataError) as error:
        judged_items(given, items)
    assert text in str(error.value) and "\n" not in str(error.value)
