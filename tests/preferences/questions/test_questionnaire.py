from pathlib import Path

import numpy as np
import pytest
from torch import nn

from bundle import keys as K
from bundle.errors import DataError, SettingError
from bundle.preferences.candidates.comparison import representatives
from bundle.preferences.candidates.files import read_candidates
from bundle.preferences.questions.questionnaire import Questionnaire
from bundle.preferences.store.judgement_store import JudgementStore
from bundle.state_files import state_sha256
from tests.preferences.hand_made import BLOCK, COUNT, REGIONS, HandMade, candidates_of, dataset, truth_of

POLICY = nn.Linear(1, 1)


def questionnaire(tmp_path: Path, maker: HandMade | None = None, **changes) -> Questionnaire:
    settings = {"folder": tmp_path / "candidates", "region_split": REGIONS, "strategy": "random"}
    return Questionnaire(dataset(tmp_path), maker or HandMade(), **{**settings, **changes})


def test_candidates_of_every_image_are_written(tmp_path) -> None:
    asks = questionnaire(tmp_path)
    files = asks.make_candidates(POLICY)
    assert files == [tmp_path / "candidates" / f"{name}.npz" for name in ("a.npy", "b.npy")]
    for file, item in zip(files, asks.dataset.data, strict=True):
        made = read_candidates(file)
        assert made.image == item[K.IMAGE]
        assert made.model == state_sha256(POLICY.state_dict())
        np.testing.assert_array_equal(made.masks, candidates_of(truth_of(np.load(item[K.IMAGE]))))


def test_what_is_there_is_not_made_again(tmp_path) -> None:
    maker = HandMade()
    asks = questionnaire(tmp_path, maker)
    a, b = asks.make_candidates(POLICY)
    before = a.read_bytes()
    b.unlink()
    assert asks.make_candidates(nn.Linear(1, 1)) == [a, b]
    assert [name for name, _ in maker.made] == ["a.npy", "b.npy", "b.npy"]
    assert a.read_bytes() == before


def test_candidates_of_another_network_are_told_apart(tmp_path, caplog) -> None:
    asks = questionnaire(tmp_path)
    with caplog.at_level("INFO"):
        asks.make_candidates(POLICY)
        asks.make_candidates(POLICY)
        assert "another network" not in caplog.text
        asks.make_candidates(nn.Linear(1, 1))
    assert f"2 candidate files in {asks.folder} are of another network" in caplog.text


def test_another_folder_for_another_round(tmp_path) -> None:
    asks = questionnaire(tmp_path)
    files = asks.make_candidates(POLICY, folder=tmp_path / "candidates" / "round_1")
    assert [file.parent.name for file in files] == ["round_1"] * 2
    assert {question.candidates_file for question in asks.questions(files)} == set(map(str, files))


def test_an_image_that_changed_since(tmp_path) -> None:
    asks = questionnaire(tmp_path)
    asks.make_candidates(POLICY)
    np.save(asks.images[1], np.zeros((24, 16), np.float32))
    with pytest.raises(DataError, match=r"b\.npy\.npz: .*b\.npy changed since these candidates were made; delete"):
        asks.make_candidates(POLICY)


def test_a_question_for_each_region(tmp_path) -> None:
    asks = questionnaire(tmp_path)
    found = asks.questions(asks.make_candidates(POLICY))
    assert {(q.image, q.region_index) for q in found} == {(image, i) for image in asks.images for i in range(COUNT)}
    assert len({q.id for q in found}) == 2 * COUNT
    for q in found:
        x, y = np.nonzero(q.region_index == BLOCK)
        assert q.box == (x.min(), y.min(), x.max() + 1, y.max() + 1)
        assert [c.made for c in q.candidates] == ["as it is", "b", "c"]
        assert tuple(c.sha256 for c in q.candidates) == read_candidates(q.candidates_file).sha256


def test_the_most_urgent_come_first_and_a_budget_keeps_those(tmp_path) -> None:
    asks = questionnaire(tmp_path)
    files = asks.make_candidates(POLICY)
    everything = asks.questions(files)
    assert len({q.priority for q in everything}) == len(everything)
    assert everything == sorted(everything, key=lambda q: -q.priority)
    for budget, count in ((0.15, 2), (0.25, 3), (0.01, 1)):  # ceil of a share of 12
        asks.budget = budget
        assert asks.questions(files) == everything[:count]


def test_random_order_is_the_seeds(tmp_path) -> None:
    orders = []
    for seed in (0, 0, 1):
        asks = questionnaire(tmp_path, seed=seed)
        orders.append([q.id for q in asks.questions(asks.make_candidates(POLICY))])
    assert orders[0] == orders[1] != orders[2]
    assert set(orders[0]) == set(orders[2])


def test_regions_without_enough_dispute_are_not_asked_about(tmp_path) -> None:
    asks = questionnaire(tmp_path, min_disputed=65)  # a region has 64 pixels
    assert asks.questions(asks.make_candidates(POLICY)) == []


def test_questions_are_opened_once(tmp_path) -> None:
    asks = questionnaire(tmp_path, budget=0.5)
    for _ in range(2):
        asks.open(POLICY, tmp_path / "store.sqlite")
    with JudgementStore(tmp_path / "store.sqlite") as store:
        assert {q.id for q in store.questions()} == {q.id for q in asks.questions(asks.make_candidates(POLICY))}
        assert len(store.questions()) == COUNT


def test_two_images_of_one_name(tmp_path) -> None:
    images = dataset(tmp_path)
    images.data[1] = {**images.data[1], K.IMAGE: str(tmp_path / "other" / "a.npy")}
    with pytest.raises(DataError, match=r"two are called a\.npy"):
        Questionnaire(images, HandMade(), tmp_path, REGIONS)


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({"region_split": "squares"}, "region_split is 'squares'"),
        ({"strategy": "best"}, "strategy is 'best'"),
        ({"budget": 0}, "budget is 0"),
        ({"budget": 15}, "budget is 15"),
        ({"min_disputed": 0}, "min_disputed is 0"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_candidates_are_made(tmp_path, setting, text) -> None:
    with pytest.raises(ValueError, match=text):
        questionnaire(tmp_path, **setting)


def test_few_candidates_are_shown_where_there_are_more(tmp_path) -> None:
    files = questionnaire(tmp_path).make_candidates(POLICY)
    for shown_count, expected in ((None, ()), (3, ()), (8, ())):
        assert {q.shown for q in questionnaire(tmp_path, shown_count=shown_count).questions(files)} == {expected}
    few = questionnaire(tmp_path, shown_count=2).questions(files)
    for question in few:
        masks = read_candidates(Path(question.candidates_file)).masks
        region = question.region_index == BLOCK
        assert question.shown == tuple(representatives(masks, region, 2)) and len(question.shown) == 2
    with JudgementStore(tmp_path / "store.sqlite") as store:
        store.open_questions(few)
        assert store.questions() == few


def test_questions_of_one_image_lose_their_turn(tmp_path) -> None:
    files = questionnaire(tmp_path).make_candidates(POLICY)
    spread = questionnaire(tmp_path, image_discount=1e-3).questions(files)
    assert {question.image for question in spread[:2]} == {item[K.IMAGE] for item in dataset(tmp_path).data}
    assert [question.priority for question in spread] == sorted((q.priority for q in spread), reverse=True)


@pytest.mark.parametrize(
    ("change", "message"), [({"shown_count": 1}, "shown_count is 1"), ({"image_discount": 0}, "image_discount")]
)
def test_what_cannot_be_shown_is_refused(tmp_path, change, message) -> None:
    with pytest.raises(SettingError, match=message):
        questionnaire(tmp_path, **change)
