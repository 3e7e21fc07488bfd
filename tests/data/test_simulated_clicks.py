import numpy as np
import pytest

from bundle.data.simulated_clicks import click_instances, share_of


def test_each_instance_is_clicked_once_inside():
    mask = np.zeros((12, 7), np.uint8)
    mask[1:4, 1:3] = 255
    mask[4, 3] = 7  # touches the first at a corner, so it is a part of it
    mask[8:11, 4:7] = 1
    for seed in range(20):
        clicks = click_instances(mask, np.random.default_rng(seed))
        assert len(clicks) == 2
        (x0, y0), (x1, y1) = clicks
        assert mask[x0, y0] and mask[x1, y1] and x0 < 6 < x1


def test_clicks_are_spread_over_an_instance():
    mask = np.ones((4, 5), np.uint8)
    found = {tuple(click_instances(mask, np.random.default_rng(seed))[0]) for seed in range(200)}
    assert found == {(x, y) for x in range(4) for y in range(5)}


def test_a_smaller_share_is_a_part_of_a_larger_one():
    clicks = {"a.png": [[n, 0] for n in range(7)], "b.png": [], "c.png": [[n, 1] for n in range(13)]}
    few, many, all_ = (share_of(clicks, share, seed=3) for share in (0.15, 0.5, 1.0))
    assert all_ == clicks
    assert [sum(map(len, kept.values())) for kept in (few, many)] == [3, 10]
    assert all(point in many[image] for image, points in few.items() for point in points)
    assert share_of(clicks, 0.5, seed=4) != many


@pytest.mark.parametrize(("share", "count"), [(0.001, 1), (0.25, 1), (0.5, 2), (1.0, 4)])
def test_at_least_one_instance_is_clicked(share, count):
    assert len(share_of({"a.png": [[0, 0], [1, 1], [2, 2], [3, 3]]}, share, seed=0)["a.png"]) == count


def test_nothing_to_click():
    assert share_of({"a.png": []}, 0.15, seed=0) == {"a.png": []}
