import pytest
import torch

from bundle import channels


@pytest.fixture(params=[(), (2,)], ids=["image", "batch"])
def planes(request):
    """Three channels of other values, (3,4,5) or (2,3,4,5)."""
    return torch.arange(3.0).view(3, 1, 1).expand(*request.param, 3, 4, 5)


def values(tensor):
    """What each channel holds."""
    return tensor.movedim(-3, 0).flatten(1).unique(dim=1).flatten().tolist()


def test_channels_of_a_prompted_image(planes):
    clicks = channels.clicks_of(planes)
    assert values(channels.em_of(planes)) == [0] and values(clicks) == [1, 2]
    assert values(channels.foreground_of(clicks)) == [1] and values(channels.background_of(clicks)) == [2]
    assert torch.equal(channels.prompted(channels.em_of(planes), clicks), planes)


def test_channels_of_a_prediction(planes):
    pred = channels.clicks_of(planes)
    assert values(channels.logits_of(pred)) == [1] and values(channels.density_of(pred)) == [2]


def test_they_are_views(planes):
    copy = planes.clone()
    channels.em_of(copy)[:] = 7
    channels.background_of(channels.clicks_of(copy))[:] = 9
    assert values(copy) == [7, 1, 9]
