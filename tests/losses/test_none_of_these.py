import math

import pytest
import torch
from torch.nn import functional as F

from bundle.keys import NONE
from bundle.losses import none_of_these_loss

B, K, R, H, W = 2, 3, 3, 6, 4


def case():
    g = torch.Generator().manual_seed(0)
    policy = torch.randn(B, 1, H, W, generator=g, requires_grad=True)
    reference = torch.randn(B, 1, H, W, generator=g)
    candidates = (torch.rand(B, K, H, W, generator=g) > 0.5).float()
    regions = (torch.arange(H)[:, None] // 2).expand(H, W).repeat(B, 1, 1)
    regions[:, :, -1] = -1
    return policy, reference, candidates, torch.tensor([[NONE, 0, -1], [1, NONE, NONE]]), regions


def test_it_is_the_loss_of_undesirable_answers_written_out():
    policy, reference, candidates, chosen, regions = case()
    expected = []
    for b, r in (chosen == NONE).nonzero().tolist():
        inside = regions[b] == r
        of_candidates = []
        for y in candidates[b]:
            log_pi, log_ref = (F.logsigmoid(torch.where(y > 0.5, z[b, 0], -z[b, 0])) for z in (policy, reference))
            of_candidates.append(-F.logsigmoid(-2.0 * (log_pi - log_ref)[inside].mean()))
        expected.append(torch.stack(of_candidates).mean())
    found = none_of_these_loss(policy, reference, candidates, chosen, regions, beta=2.0)
    torch.testing.assert_close(found, torch.stack(expected).mean())


def test_it_starts_at_log_two_and_leads_away_from_the_candidates():
    policy, _, candidates, chosen, regions = case()
    candidates[:] = 1
    loss = none_of_these_loss(policy, policy.detach(), candidates, chosen, regions)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2), abs=1e-6)
    inside = torch.stack([torch.isin(regions[b], (chosen[b] == NONE).nonzero()) for b in range(B)])
    assert torch.equal(policy.grad[:, 0] > 0, inside), "less foreground where all said foreground"
    assert (policy.grad[:, 0][~inside] == 0).all()


def test_other_judgements_give_nothing():
    policy, reference, candidates, chosen, regions = case()
    loss = none_of_these_loss(policy, reference, candidates, chosen.clamp(min=-1), regions)
    loss.backward()
    assert loss.item() == 0 and (policy.grad == 0).all()


def test_finite_at_extreme_logits():
    policy, reference, *others = case()
    extreme = (50 * policy.detach().sign()).requires_grad_()
    loss = none_of_these_loss(extreme, -50 * reference.sign(), *others, beta=10.0)
    loss.backward()
    assert loss.isfinite() and extreme.grad.isfinite().all()


def test_shapes_that_do_not_belong_together_are_refused():
    policy, reference, candidates, chosen, regions = case()
    with pytest.raises(ValueError, match="expected policy and reference"):
        none_of_these_loss(policy, reference, candidates[..., :-1], chosen, regions)
