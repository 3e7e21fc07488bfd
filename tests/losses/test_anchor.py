import pytest
import torch
from torch.distributions import Bernoulli, kl_divergence
from torch.nn import functional as F

from bundle.keys import NONE
from bundle.losses import anchor_losses
from bundle.losses.anchor import bernoulli_kl

CANDIDATES = torch.tensor([[[1.0, 1, 0, 0]], [[1, 0, 1, 0]]])[None]
"""Two of 1x4 pixels that agree on the first and the last."""
REGIONS = torch.tensor([[[0, 0, 1, 1]]])
POLICY = torch.tensor([[[[0.3, 1.2, -0.7, -2.0]], [[0.1, 0.2, 0.3, 0.4]]]])
REFERENCE = torch.tensor([[[[0.1, -0.4, -0.5, 0.6]], [[0.1, 0.2, 0.3, 0.6]]]])


def losses(chosen: list[int], policy: torch.Tensor = POLICY) -> dict[str, torch.Tensor]:
    return anchor_losses(policy, REFERENCE, CANDIDATES, torch.tensor([chosen]), REGIONS)


def test_only_the_disputed_pixels_of_judged_regions_learn_the_mask_that_was_picked() -> None:
    found = losses([1, -1])
    torch.testing.assert_close(found["nll"], F.softplus(POLICY[0, 0, 0, 1]))  # candidate 1 has background there
    others = [0, 2, 3]
    p, q = (Bernoulli(logits=x[0, 0, 0, others]) for x in (REFERENCE, POLICY))
    torch.testing.assert_close(found["anchor"], kl_divergence(p, q).mean())
    torch.testing.assert_close(found["det"], torch.tensor(0.04 / 4))


def test_without_judgements_all_pixels_are_held() -> None:
    policy = POLICY.clone().requires_grad_()
    found = losses([-1, -1], policy)
    p, q = (Bernoulli(logits=x[0, 0]) for x in (REFERENCE, POLICY))
    torch.testing.assert_close(found["anchor"], kl_divergence(p, q).mean())
    assert found["nll"].item() == 0
    found["nll"].backward()
    assert (policy.grad == 0).all()


def test_where_none_will_do_the_mask_is_neither_held_nor_taught() -> None:
    found = losses([0, NONE])
    p, q = (Bernoulli(logits=x[0, 0, 0, 0]) for x in (REFERENCE, POLICY))
    torch.testing.assert_close(found["anchor"], kl_divergence(p, q))
    torch.testing.assert_close(found["nll"], losses([0, -1])["nll"])


def test_divergence_of_certain_pixels_is_finite_with_a_finite_gradient() -> None:
    z = torch.tensor([-50.0, 0.0, 50.0])
    policy, other = (t.clone().requires_grad_() for t in torch.meshgrid(z, z, indexing="ij"))
    kl = bernoulli_kl(policy, other)
    kl.sum().backward()
    assert kl.isfinite().all() and policy.grad.isfinite().all() and other.grad.isfinite().all()
    assert (kl.diagonal() == 0).all()
    assert kl[0, 2].item() == kl[2, 0].item() == pytest.approx(100 / 2)
