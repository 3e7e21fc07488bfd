import math

import pytest
import torch
from torch.distributions import Bernoulli, kl_divergence

from bundle.losses.preference import PreferenceLoss
from bundle.losses.preference_statistics import preference_statistics

BETA = 0.5
POLICY = torch.tensor([0.3, 1.2, -0.7, -2.0, 0.5, 0.9]).view(1, 1, 2, 3)
REFERENCE = torch.tensor([0.1, -0.4, -0.5, 0.6, 0.2, 0.8]).view(1, 1, 2, 3)
CHOSEN = torch.tensor([[1.0, 1, 0], [0, 1, 1]])
REJECTED = torch.tensor([[1.0, 0, 0], [1, 1, 1]])  # other at pixels 1 and 3
ONE_REGION = torch.zeros(1, 2, 3, dtype=torch.long)


def statistics(candidates, chosen, regions, normalize="disagreement", policy=POLICY, reference=REFERENCE):
    loss = PreferenceLoss(beta=BETA, normalize=normalize)
    judged = (policy, reference, candidates, chosen, regions)
    return preference_statistics(loss, loss.rewards(*judged), *judged)


def log_sigmoid(z: float) -> float:
    return -math.log1p(math.exp(-z))


def test_one_pair_by_hand() -> None:
    found = statistics(torch.stack((CHOSEN, REJECTED))[None], torch.tensor([[0]]), ONE_REGION)
    # Chosen has foreground at pixel 1 and background at pixel 3, rejected the other way round.
    logps_chosen, logps_rejected = (
        (log_sigmoid(1.2) + log_sigmoid(2.0)) / 2,
        (log_sigmoid(-1.2) + log_sigmoid(-2.0)) / 2,
    )
    reference_chosen, reference_rejected = (
        (log_sigmoid(-0.4) + log_sigmoid(-0.6)) / 2,
        (log_sigmoid(0.4) + log_sigmoid(0.6)) / 2,
    )
    expected = {
        "rewards/chosen": BETA * (logps_chosen - reference_chosen),
        "rewards/rejected": BETA * (logps_rejected - reference_rejected),
        "rewards/margins": BETA * ((1.2 + 0.4) + (2.0 + 0.6)) / 2,
        "rewards/accuracies": 1.0,
        "logps/chosen": logps_chosen,
        "logps/rejected": logps_rejected,
    }
    assert {name: found[name][0] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert {found[name][1] for name in expected} == {1}
    assert found["regions/judged"] == (1, 1)
    assert found["rewards/margins"][0] == pytest.approx(found["rewards/chosen"][0] - found["rewards/rejected"][0])


def test_margin_is_the_one_that_the_loss_sees() -> None:
    candidates = torch.stack((CHOSEN, REJECTED))[None]
    region = statistics(candidates, torch.tensor([[0]]), ONE_REGION, normalize="region")
    disagreement = statistics(candidates, torch.tensor([[0]]), ONE_REGION)
    # Two pixels of six differ.
    assert region["rewards/margins"][0] == pytest.approx(disagreement["rewards/margins"][0] / 3)


def test_rejected_count_one_by_one_and_copies_of_the_chosen_not_at_all() -> None:
    behind, ahead = REJECTED, CHOSEN.clone()
    ahead[0, 2] = 1 - ahead[0, 2]  # the policy has moved towards the background there, but less so than is good
    policy = POLICY.clone()
    policy[0, 0, 0, 2] = 1.0  # and here it went where this rejected candidate is
    found = statistics(
        torch.stack((CHOSEN, behind, ahead, CHOSEN))[None], torch.tensor([[0]]), ONE_REGION, "region", policy
    )
    assert found["rewards/accuracies"] == (1, 2)
    assert found["rewards/margins"] == (pytest.approx(BETA * (4.2 - 1.5) / 6), 2)
    assert found["regions/judged"] == (1, 1)


def test_regions_without_a_chosen_count_for_nothing() -> None:
    candidates = torch.stack((CHOSEN, REJECTED))[None].repeat(2, 1, 1, 1)
    regions = torch.tensor([[[0, 0, 0], [1, 1, 1]]]).repeat(2, 1, 1)
    policy, reference = POLICY.repeat(2, 1, 1, 1), REFERENCE.repeat(2, 1, 1, 1)
    found = statistics(candidates, torch.tensor([[0, -1], [-1, -1]]), regions, policy=policy, reference=reference)
    assert found["rewards/margins"] == (pytest.approx(BETA * 1.6), 1)
    assert found["logps/chosen"] == (pytest.approx(log_sigmoid(1.2)), 1)
    assert found["regions/judged"] == (1, 2)
    nothing = statistics(candidates, torch.full((2, 2), -1), regions, policy=policy, reference=reference)
    assert nothing["rewards/accuracies"] == (0, 0)
    assert nothing["regions/judged"] == (0, 2)


def test_a_policy_that_is_its_reference_has_no_rewards() -> None:
    found = statistics(torch.stack((CHOSEN, REJECTED))[None], torch.tensor([[0]]), ONE_REGION, policy=REFERENCE)
    for name in ("rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies", "kl"):
        assert found[name][0] == 0, name


def test_divergence_is_a_mean_over_all_pixels() -> None:
    found = statistics(torch.stack((CHOSEN, REJECTED))[None], torch.tensor([[-1]]), ONE_REGION)
    expected = kl_divergence(Bernoulli(logits=POLICY), Bernoulli(logits=REFERENCE)).sum().item()
    assert found["kl"] == (pytest.approx(expected, rel=1e-5), 6)


def test_no_gradient_is_kept() -> None:
    policy = POLICY.clone().requires_grad_()
    found = statistics(torch.stack((CHOSEN, REJECTED))[None], torch.tensor([[0]]), ONE_REGION, policy=policy)
    assert all(isinstance(value, float) for pair in found.values() for value in pair)
