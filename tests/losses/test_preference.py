import math

import pytest
import torch
from torch.nn import functional as F

from bundle.losses.preference import PreferenceLoss

B, K, R, H, W = 3, 4, 6, 12, 8


def case(seed: int = 0):
    """Logits, candidates that all differ in every region, chosen ones, and regions in stripes, the last row in none."""
    g = torch.Generator().manual_seed(seed)
    policy = torch.randn(B, 1, H, W, generator=g, requires_grad=True)
    reference = torch.randn(B, 1, H, W, generator=g)
    candidates = (torch.rand(B, K, H, W, generator=g) > 0.5).float()
    chosen = torch.randint(K, (B, R), generator=g)
    regions = (torch.arange(H)[:, None] // 2).expand(H, W).repeat(B, 1, 1)
    regions[:, -1] = -1
    return policy, reference, candidates, chosen, regions


def log_likelihood(logits, mask):
    return torch.where(mask > 0.5, F.logsigmoid(logits), F.logsigmoid(-logits))


def test_one_region_and_two_candidates_is_dpo_written_out():
    policy, reference, candidates, *_ = case()
    chosen, regions = torch.ones(B, 1, dtype=torch.long), torch.zeros(B, H, W, dtype=torch.long)
    rewards = []
    for k in (0, 1):
        y = candidates[:, k : k + 1]
        rewards.append((log_likelihood(policy, y) - log_likelihood(reference, y)).mean(dim=(1, 2, 3)))
    expected = -F.logsigmoid(0.7 * (rewards[1] - rewards[0])).mean()
    loss = PreferenceLoss(beta=0.7)(policy, reference, candidates[:, :2], chosen, regions)
    assert torch.allclose(loss, expected, atol=1e-6)


@pytest.mark.parametrize("normalize", ["region", "disagreement"])
def test_several_rejected_and_regions_are_softmax_dpo_written_out(normalize):
    policy, reference, candidates, chosen, regions = case()
    chosen[0, 2] = chosen[1] = -1
    expected = []
    for b in range(B):
        for r in range(R):
            w = int(chosen[b, r])
            if w < 0:
                continue
            inside, exponents = regions[b] == r, []
            for k in range(K):
                differ = inside & (candidates[b, k] != candidates[b, w])
                if not differ.any():
                    continue
                where = inside if normalize == "region" else differ
                d = [
                    (log_likelihood(policy[b, 0], y) - log_likelihood(reference[b, 0], y))[where].mean()
                    for y in (candidates[b, k], candidates[b, w])
                ]
                exponents.append(2.0 * (d[0] - d[1]))
            expected.append(-F.logsigmoid(-torch.stack(exponents).logsumexp(0)))
    loss = PreferenceLoss(beta=2.0, normalize=normalize)(policy, reference, candidates, chosen, regions)
    assert torch.allclose(loss, torch.stack(expected).mean(), atol=1e-5)


@pytest.mark.parametrize("normalize", ["region", "disagreement"])
def test_at_the_start_the_loss_is_the_log_of_the_number_of_candidates(normalize):
    policy, _, candidates, chosen, regions = case()
    loss = PreferenceLoss(normalize=normalize)(policy, policy.detach(), candidates, chosen, regions)
    assert loss.item() == pytest.approx(math.log(K), abs=1e-6)


@pytest.mark.parametrize("normalize", ["region", "disagreement"])
def test_at_the_start_the_gradient_raises_the_chosen_where_it_differs_and_nowhere_else(normalize):
    policy, _, candidates, _, regions = case()
    chosen = torch.zeros(B, R, dtype=torch.long)
    PreferenceLoss(normalize=normalize)(policy, policy.detach(), candidates[:, :2], chosen, regions).backward()
    step = -policy.grad[:, 0]
    differ = (candidates[:, 0] != candidates[:, 1]) & (regions >= 0)
    assert torch.equal(step != 0, differ)
    assert torch.equal(step > 0, differ & (candidates[:, 0] > 0.5))


def test_unjudged_regions_and_pixels_in_no_region_have_no_gradient():
    policy, reference, candidates, chosen, regions = case()
    chosen[:, ::2] = -1
    PreferenceLoss(normalize="disagreement")(policy, reference, candidates, chosen, regions).backward()
    unjudged = (regions < 0) | (regions % 2 == 0)
    assert (policy.grad[:, 0][unjudged] == 0).all()
    assert (policy.grad[:, 0][~unjudged] != 0).any()


def test_nothing_judged_is_zero_with_zero_gradient():
    policy, reference, candidates, chosen, regions = case()
    loss = PreferenceLoss(label_smoothing=0.1)(policy, reference, candidates, torch.full_like(chosen, -1), regions)
    loss.backward()
    assert loss.item() == 0
    assert (policy.grad == 0).all()


def test_order_of_regions_and_of_rejected_changes_nothing():
    policy, reference, candidates, chosen, regions = case()
    chosen[1, 3] = -1
    loss = PreferenceLoss(label_smoothing=0.1)
    value = loss(policy, reference, candidates, chosen, regions)
    to = torch.randperm(R, generator=torch.Generator().manual_seed(1))
    moved = torch.where(regions >= 0, to[regions.clamp(min=0)], regions)
    assert torch.allclose(value, loss(policy, reference, candidates, chosen[:, to.argsort()], moved), atol=1e-6)
    order = torch.randperm(K, generator=torch.Generator().manual_seed(2))
    renumbered = torch.where(chosen >= 0, order.argsort()[chosen.clamp(min=0)], chosen)
    assert torch.allclose(value, loss(policy, reference, candidates[:, order], renumbered, regions), atol=1e-6)


def test_a_copy_of_the_chosen_candidate_is_not_rejected():
    policy, reference, candidates, chosen, regions = case()
    chosen = torch.zeros_like(chosen)
    copied = torch.cat((candidates, candidates[:, :1]), dim=1)
    loss = PreferenceLoss()
    assert torch.equal(
        loss(policy, reference, candidates, chosen, regions), loss(policy, reference, copied, chosen, regions)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("loss_type", ["dpo", "simpo"])
@pytest.mark.parametrize("normalize", ["region", "disagreement"])
def test_finite_at_extreme_logits(dtype, loss_type, normalize):
    policy, reference, candidates, chosen, regions = case()
    extreme = (50 * policy.detach().sign()).to(dtype).requires_grad_()
    loss = PreferenceLoss(beta=10.0, normalize=normalize, loss_type=loss_type)
    value = loss(extreme, (-50 * reference.sign()).to(dtype), candidates, chosen, regions)
    value.backward()
    assert value.isfinite()
    assert extreme.grad.isfinite().all()


def test_label_smoothing_is_conservative_dpo():
    policy, reference, candidates, *_ = case()
    chosen, regions = torch.ones(B, 1, dtype=torch.long), torch.zeros(B, H, W, dtype=torch.long)
    arguments = (policy, reference, candidates[:, :2])
    right = PreferenceLoss()(*arguments, chosen, regions)
    wrong = PreferenceLoss()(*arguments, 1 - chosen, regions)
    smoothed = PreferenceLoss(label_smoothing=0.2)(*arguments, chosen, regions)
    assert torch.allclose(smoothed, 0.8 * right + 0.2 * wrong, atol=1e-6)


def test_simpo_is_written_out_and_reads_no_reference():
    policy, reference, candidates, *_ = case()
    chosen, regions = torch.ones(B, 1, dtype=torch.long), torch.zeros(B, H, W, dtype=torch.long)
    s = [log_likelihood(policy, candidates[:, k : k + 1]).mean(dim=(1, 2, 3)) for k in (0, 1)]
    expected = -F.logsigmoid(10 * (s[1] - s[0]) - 5).mean()
    loss = PreferenceLoss(beta=10.0, loss_type="simpo", simpo_gamma=5.0)
    assert torch.allclose(loss(policy, reference, candidates[:, :2], chosen, regions), expected, atol=1e-5)
    assert torch.allclose(loss(policy, 0 * reference, candidates[:, :2], chosen, regions), expected, atol=1e-5)


def test_following_the_loss_turns_the_policy_into_the_chosen():
    _, _, candidates, chosen, regions = case()
    logits = torch.zeros(B, 1, H, W, requires_grad=True)
    loss = PreferenceLoss(normalize="disagreement")
    optimizer = torch.optim.SGD([logits], lr=100.0)
    for _ in range(30):
        optimizer.zero_grad()
        loss(logits, torch.zeros(B, 1, H, W), candidates, chosen, regions).backward()
        optimizer.step()
    best = torch.stack(
        [candidates[b][chosen[b][regions[b].clamp(min=0)], torch.arange(H)[:, None], torch.arange(W)] for b in range(B)]
    )
    disputed = (candidates.amax(1) != candidates.amin(1)) & (regions >= 0)
    assert ((logits[:, 0] > 0) == (best > 0.5))[disputed].float().mean() > 0.9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": 0.0}, "beta"),
        ({"normalize": "pixels"}, "normalize"),
        ({"label_smoothing": 0.5}, "label_smoothing"),
        ({"loss_type": "ipo"}, "loss_type"),
        ({"simpo_gamma": 1.0}, "simpo_gamma"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        PreferenceLoss(**settings)


def test_shapes_that_do_not_belong_together_are_refused():
    policy, reference, candidates, chosen, regions = case()
    with pytest.raises(ValueError, match="expected policy and reference"):
        PreferenceLoss()(policy, reference, candidates[..., :-1], chosen, regions)
