import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle import keys as K
from bundle.errors import SettingError
from bundle.transforms import AddClickChannelsd, RandInstanceClicksd, click_channels

WIDE = (4, 7)  # X, Y


def clicked(channels: torch.Tensor) -> list[tuple[int, ...]]:
    """(channel, x, y) of all clicks."""
    assert set(channels.unique().tolist()) <= {0.0, 1.0}
    return [tuple(c) for c in channels.nonzero().tolist()]


def test_click_lands_at_x_y() -> None:
    channels = click_channels(WIDE, [(3, 6), (0, 5), (2.9, 0.2)], [1, 0, 1])
    assert channels.shape == (2, *WIDE)
    assert clicked(channels) == [(0, 2, 0), (0, 3, 6), (1, 0, 5)]


def test_labels_as_a_csv_file_gives_them() -> None:
    assert clicked(click_channels(WIDE, [(3.0, 6.0), (0.0, 5.0)], [1.0, 0.0])) == [(0, 3, 6), (1, 0, 5)]


@pytest.mark.parametrize("point", [(4, 0), (0, 7), (6, 3), (-1, 2), (2, -0.5), (float("nan"), 1)])
def test_click_outside(point) -> None:
    with pytest.raises(ValueError, match=r"lies outside the image of 4x7 pixels"):
        click_channels(WIDE, [point], [1])


@pytest.mark.parametrize("label", [-1, 2, 0.5])
def test_label_of_no_meaning(label) -> None:
    with pytest.raises(ValueError, match="expected 1"):
        click_channels(WIDE, [(0, 0)], [label])


def test_points_and_labels_must_agree() -> None:
    with pytest.raises(ValueError, match="2 points but 1 point labels"):
        click_channels(WIDE, [(0, 0), (1, 1)], [1])


def image() -> torch.Tensor:
    return torch.arange(28.0).view(1, *WIDE)


def test_item_without_clicks() -> None:
    for item in ({}, {K.POINTS: []}, {K.POINTS: None}):
        out = AddClickChannelsd()({K.IMAGE: image(), **item})[K.IMAGE]
        assert torch.equal(out[:1], image())
        assert clicked(out[1:]) == []


def test_clicks_of_a_points_file() -> None:
    out = AddClickChannelsd()({K.IMAGE: image(), K.POINTS: [[3, 6], [0, 1]], K.POINT_LABELS: [0, 1]})[K.IMAGE]
    assert torch.equal(out[:1], image())
    assert clicked(out[1:]) == [(0, 0, 1), (1, 3, 6)]


def test_points_without_labels_are_foreground() -> None:
    assert clicked(AddClickChannelsd()({K.IMAGE: image(), K.POINTS: [[3, 6]]})[K.IMAGE][1:]) == [(0, 3, 6)]

    item = {K.IMAGE: image(), K.POINTS: [[3, 6]], K.POINT_LABELS: None}
    assert clicked(AddClickChannelsd()(item)[K.IMAGE][1:]) == [(0, 3, 6)]


@pytest.mark.parametrize("labels", [[], [1], [1, 0, 1]])
def test_each_point_has_a_label_or_none_has(labels) -> None:
    item = {K.IMAGE: image(), K.POINTS: [[3, 6], [0, 1]], K.POINT_LABELS: labels, "foreground": [[1, 1]]}
    with pytest.raises(ValueError, match=f"2 points but {len(labels)} point labels"):
        AddClickChannelsd()(item)


def test_clicks_of_a_monai_label_request() -> None:
    """Lists named after their meaning, points with a third coordinate."""
    item = {K.IMAGE: image(), "foreground": [[3, 6, 0], [1, 1, 0]], "background": [[0, 5, 0]]}
    assert clicked(AddClickChannelsd()(item)[K.IMAGE][1:]) == [(0, 1, 1), (0, 3, 6), (1, 0, 5)]


def test_all_sources_of_clicks_together() -> None:
    item = {K.IMAGE: image(), K.POINTS: [[2, 2]], K.POINT_LABELS: [0], "foreground": [[3, 6]], "background": []}
    assert clicked(AddClickChannelsd()(item)[K.IMAGE][1:]) == [(0, 3, 6), (1, 2, 2)]


def test_clicks_of_before_are_replaced() -> None:
    item = AddClickChannelsd()({K.IMAGE: image(), K.POINTS: [[3, 6]]})
    again = AddClickChannelsd()({K.IMAGE: item[K.IMAGE], K.POINTS: [[0, 0]]})[K.IMAGE]
    assert clicked(again[1:]) == [(0, 0, 0)]


def test_too_many_clicks() -> None:
    item = {K.IMAGE: image(), K.POINTS: [[0, 0], [1, 1]], "background": [[2, 2]]}
    AddClickChannelsd(max_points=3)(item)
    with pytest.raises(ValueError, match="3 clicks on one image, but the network takes at most 2"):
        AddClickChannelsd(max_points=2)(item)


def test_input_is_left_alone_and_meta_data_kept() -> None:
    item = {K.IMAGE: MetaTensor(image(), meta={"filename_or_obj": "a.png"}), K.POINTS: [[1, 1]]}
    out = AddClickChannelsd()(item)[K.IMAGE]
    assert item[K.IMAGE].shape == (1, *WIDE)
    assert item[K.POINTS] == [[1, 1]]
    assert out.meta["filename_or_obj"] == "a.png"


INSTANCES = np.zeros((1, 20, 31), np.float32)
INSTANCES[0, 2:6, 3:9] = 1
INSTANCES[0, 10, 20:30] = 2
INSTANCES[0, 17, 4] = 3
INSTANCES[0, 12:19, 10:15] = 7  # a crop loses instances in between


def draw(transform: RandInstanceClicksd, instances: np.ndarray = INSTANCES) -> list[tuple[int, ...]]:
    item = {K.IMAGE: torch.zeros(1, *instances.shape[1:]), K.INSTANCES: torch.from_numpy(instances)}
    out = transform(item)[K.IMAGE]
    assert out.shape == (3, *instances.shape[1:])
    return clicked(out[1:])


def test_clicks_lie_inside_distinct_instances() -> None:
    transform = RandInstanceClicksd()
    transform.set_random_state(seed=0)
    counts, pixels = [], set()
    for _ in range(100):
        clicks = draw(transform)
        hit = [int(INSTANCES[0, x, y]) for _, x, y in clicks]
        assert {channel for channel, _, _ in clicks} <= {0}
        assert 0 not in hit
        assert len(set(hit)) == len(hit)
        counts.append(len(hit))
        pixels |= {(x, y) for (_, x, y), i in zip(clicks, hit, strict=True) if i == 1}
    # none, some and all instances, each about a fifth of the time; and anywhere inside, not at the centre alone
    assert all(8 <= counts.count(n) <= 35 for n in range(5))
    assert len(pixels) > 12


def test_seed_decides() -> None:
    def sequence(seed: int) -> list:
        transform = RandInstanceClicksd()
        transform.set_random_state(seed=seed)
        return [draw(transform) for _ in range(8)]

    assert sequence(1) == sequence(1)
    assert sequence(1) != sequence(2)


def test_never_more_clicks_than_the_network_takes() -> None:
    transform = RandInstanceClicksd(max_points=2)
    transform.set_random_state(seed=0)
    assert {len(draw(transform)) for _ in range(60)} == {0, 1, 2}


def test_more_images_without_clicks_and_with_all() -> None:
    transform = RandInstanceClicksd(bare_prob=0.3, complete_prob=0.5)
    transform.set_random_state(seed=0)
    counts = [len(draw(transform)) for _ in range(300)]
    assert 0.27 < counts.count(0) / 300 < 0.42  # 0.3, and a fifth of the rest
    assert 0.45 < counts.count(4) / 300 < 0.63
    assert set(counts) == set(range(5))


@pytest.mark.parametrize("probs", [(-0.1, 0.5), (0.6, 0.6)])
def test_probabilities_that_cannot_be_are_refused(probs: tuple[float, float]) -> None:
    with pytest.raises(SettingError, match="sum of at most 1"):
        RandInstanceClicksd(bare_prob=probs[0], complete_prob=probs[1])


def test_no_instances_no_clicks() -> None:
    assert draw(RandInstanceClicksd(), np.zeros((1, 8, 9), np.float32)) == []
