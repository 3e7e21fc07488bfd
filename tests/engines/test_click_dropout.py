import pytest
import torch

from bundle.engines.click_dropout import drop_clicks, drop_points
from tests.engines.steps import HEIGHT, WIDTH, prompted


def test_dropped_points_are_a_random_subset() -> None:
    torch.manual_seed(0)
    labels = torch.tensor([[1, 0, 1, 1, -1]]).repeat(4000, 1)
    kept = drop_points(labels, bare_prob=0.0)
    assert ((kept == labels) | (kept == -1)).all()
    # The share kept is uniform, so none to all of the four are equally likely: a fifth each.
    counts = torch.bincount((kept >= 0).sum(dim=1), minlength=5) / len(labels)
    assert counts.tolist() == pytest.approx([0.2] * 5, abs=0.03)
    assert (kept[:, :4] >= 0).float().mean(dim=0).tolist() == pytest.approx([0.5] * 4, abs=0.03)


def test_some_images_keep_no_point_at_all() -> None:
    torch.manual_seed(0)
    labels = torch.ones(4000, 5, dtype=torch.long)
    bare = (drop_points(labels, bare_prob=0.5) == -1).all(dim=1).float().mean()
    # Half of them, and a sixth of the others.
    assert bare.item() == pytest.approx(0.5 + 0.5 / 6, abs=0.03)
    assert (drop_points(labels, bare_prob=1.0) == -1).all()


def test_dropped_clicks_are_a_random_subset() -> None:
    torch.manual_seed(0)
    image = prompted(torch.randn(1, 1, HEIGHT, WIDTH)).repeat(3000, 1, 1, 1)
    kept = drop_clicks(image)
    assert torch.equal(kept[:, 0], image[:, 0])
    assert ((kept == image) | (kept == 0))[:, 1:].all()
    # The share kept is uniform, so none to all of the three are equally likely.
    counts = torch.bincount(kept[:, 1:].sum(dim=(1, 2, 3)).long(), minlength=4) / len(image)
    assert counts.tolist() == pytest.approx([0.25] * 4, abs=0.04)
