import pytest
import torch

from bundle.self_training import ExemplarBank
from bundle.self_training.components import Components
from bundle.self_training.exemplars import describe_components

RIGHT, WRONG = torch.tensor([1.0, 0.0, 0.2, 0.0]), torch.tensor([0.0, 1.0, 0.0, 0.2])
NEIGHBOURS = 2
ENOUGH = 4 * NEIGHBOURS
PLACES = (2, 7, 12, 17)


class Scene:
    """An image of 5x20 pixels with four instances of 3x3 pixels, of which the first two may be clicked."""

    def __init__(self, kinds: list[torch.Tensor], number: int, clicked: tuple[int, ...] = (0, 1)) -> None:
        random = torch.Generator().manual_seed(number)
        self.features = torch.zeros(1, 4, 5, 20)
        self.mask, self.clicks = torch.zeros(2, 1, 1, 5, 20, dtype=torch.bool)
        for i, kind in enumerate(kinds):
            there = (0, slice(None), slice(1, 4), slice(PLACES[i] - 1, PLACES[i] + 2))
            self.features[there] = (kind + 0.05 * torch.randn(4, generator=random)).view(4, 1, 1)
            self.mask[there] = True
            self.clicks[0, 0, 2, PLACES[i]] = i in clicked
        self.number = number

    def judge(self, bank: ExemplarBank, number: int | None = None) -> list[bool]:
        """Which of the four are in doubt."""
        images = torch.tensor([self.number if number is None else number])
        doubtful = bank([self.features], self.mask, self.clicks, images)
        assert doubtful.shape == self.mask.shape and not (doubtful & ~self.mask).any()
        return [bool(doubtful[0, 0, 2, place]) for place in PLACES]


def mixed(number: int) -> Scene:
    """Clicked right ones, a right one and a wrong one without a click."""
    return Scene([RIGHT, RIGHT, RIGHT, WRONG], number)


def taught(**settings) -> ExemplarBank:
    bank = ExemplarBank(neighbours=NEIGHBOURS, recall=1.0, **settings)
    for number in range(20):
        mixed(number).judge(bank)
    return bank


def test_instances_that_touch_at_a_corner_are_one_and_those_of_two_images_are_two() -> None:
    mask = torch.zeros(2, 1, 3, 4, dtype=torch.bool)
    mask[0, 0, 0, 0] = mask[0, 0, 1, 1] = mask[0, 0, 0, 3] = mask[1, 0, 0, 0] = True
    components = Components(mask)
    labels, count = components.labels, components.count
    assert count == 3
    assert labels[0, 0, 0] == labels[0, 1, 1] > 0
    assert len({int(labels[0, 0, 0]), int(labels[0, 0, 3]), int(labels[1, 0, 0])}) == 3
    assert (labels > 0).equal(mask[:, 0])


def test_description_is_the_mean_direction_of_each_level() -> None:
    labels = torch.zeros(1, 4, 4, dtype=torch.long)
    labels[0, 0, :2] = 1
    labels[0, 3, 3] = 2
    fine, coarse = torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 2, 2)
    fine[0, :, 0, 0], fine[0, :, 0, 1], fine[0, :, 3, 3] = torch.tensor([[6.0, 0.0], [0.0, 8.0], [0.0, 5.0]])
    coarse[0, :, 1, 1] = torch.tensor([-2.0, 0.0])
    # A cell of the coarse level is seen at its second pixel, where the first component is not.
    expected = torch.tensor([[0.6, 0.8, 0.0, 0.0], [0.0, 1.0, -1.0, 0.0]])
    torch.testing.assert_close(describe_components([fine, coarse], labels, 2), expected)


def test_nothing_is_in_doubt_before_there_are_enough_clicked_instances() -> None:
    bank = ExemplarBank(neighbours=NEIGHBOURS, recall=1.0)
    # The first image has none to be compared with; each other one adds two.
    for number in range(ENOUGH // 2):
        assert mixed(number).judge(bank) == [False] * 4
    assert mixed(ENOUGH // 2).judge(bank) == [False, False, False, True]


def test_doubt_is_of_what_is_unlike_the_clicked_ones() -> None:
    bank = taught()
    for number in range(20, 30):
        assert Scene([RIGHT, WRONG, RIGHT, WRONG], number, clicked=()).judge(bank) == [False, True, False, True]


def test_clicked_instances_are_never_in_doubt() -> None:
    bank = taught()
    bank.recall = 0.9  # else the bar falls to those that are clicked here
    assert Scene([WRONG, WRONG, WRONG, RIGHT], 20, clicked=(0, 2)).judge(bank) == [False, True, False, False]


def test_instances_of_one_image_do_not_judge_each_other() -> None:
    bank = ExemplarBank(neighbours=NEIGHBOURS, recall=1.0)
    for number in range(20):
        assert mixed(number).judge(bank, number=7) == [False] * 4
    assert len(bank.exemplars) == 40 and len(bank.scores) == 0
    assert mixed(20).judge(taught(), number=20) == [False, False, False, True]


def test_lower_recall_doubts_more() -> None:
    doubts = []
    for recall in (1.0, 0.2):
        bank = taught()
        bank.recall = recall
        judged = [Scene([RIGHT] * 4, number, clicked=()).judge(bank) for number in range(20, 30)]
        doubts.append(sum(map(sum, judged)))
    assert doubts[0] < 5 < 20 < doubts[1]


def test_clicks_and_images_without_an_instance() -> None:
    bank = taught()
    before = bank.exemplars.clone()
    empty = Scene([], 20)
    empty.clicks[0, 0, 2, 2] = True
    assert empty.judge(bank) == [False] * 4
    assert torch.equal(bank.exemplars, before)


def test_only_the_latest_are_remembered() -> None:
    bank = taught(size=6)
    assert (len(bank.exemplars), len(bank.scores), len(bank.others)) == (6, 6, 24)
    assert bank.exemplar_images.tolist() == [17, 17, 18, 18, 19, 19]


def test_state_is_what_is_remembered() -> None:
    bank, other = taught(), ExemplarBank(neighbours=NEIGHBOURS, recall=1.0)
    other.load_state_dict(bank.state_dict())
    assert mixed(20).judge(other) == [False, False, False, True]
    mixed(20).judge(bank)
    for name, value in bank.named_buffers():
        assert torch.equal(value, dict(other.named_buffers())[name])


@pytest.mark.parametrize("recall", [0.0, -0.1, 1.1])
def test_recall_out_of_range(recall) -> None:
    with pytest.raises(ValueError, match=r"recall must be in \(0, 1\]"):
        ExemplarBank(recall=recall)
