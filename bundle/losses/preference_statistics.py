"""Reward statistics of a policy, under the names that TRL's trainers use."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from bundle.losses.anchor import bernoulli_kl
from bundle.losses.preference import PreferenceLoss, PreferenceRewards, chosen_mask, chosen_of_pixels, sum_by_region


@torch.no_grad()
def preference_statistics(
    loss: PreferenceLoss,
    rewards: PreferenceRewards,
    policy_logits: torch.Tensor,
    reference_logits: torch.Tensor,
    candidates: torch.Tensor,
    chosen: torch.Tensor,
    regions: torch.Tensor,
) -> dict[str, tuple[float, float]]:
    """Sum the TRL-style reward statistics over a batch.

    Log-likelihoods and rewards are means over the pixels of a region where the chosen and the rejected
    candidate differ (elsewhere both have the same value), then over all rejected candidates of all judged regions.

    Args:
        loss: gives beta.
        rewards: what ``loss.rewards`` gave for the tensors that follow, which are those of its ``forward``.
        policy_logits: (B,1,H,W).
        reference_logits: (B,1,H,W).
        candidates: (B,K,H,W).
        chosen: (B,R).
        regions: (B,H,W).

    Returns:
        For each name the sum and the count: ``rewards/chosen``, ``rewards/rejected``,
        ``rewards/margins``, ``rewards/accuracies`` (share of rejected candidates with a positive margin),
        ``logps/chosen``, ``logps/rejected``, ``kl`` (of the policy to the reference, nats a pixel), ``regions/judged``
        (judged regions in a crop).
    """
    masks = candidates.flatten(2).float()
    best = chosen_mask(candidates, chosen_of_pixels(chosen, regions)).flatten(1).unsqueeze(1).float()
    differ = (best != masks).float()
    size = sum_by_region(differ, regions, chosen.shape[1]).clamp(min=1.0)

    def mean_log_likelihoods(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the chosen and of each rejected candidate: where they differ, one is what the other is not."""
        z = logits.flatten(1).float().unsqueeze(1)
        of_chosen = F.logsigmoid(torch.where(best > 0.5, z, -z))
        summed = sum_by_region(differ * of_chosen, regions, chosen.shape[1])
        # log(1 - p) = log p - z of the value that p is the probability of.
        behind = sum_by_region(differ * torch.where(best > 0.5, z, -z), regions, chosen.shape[1])
        return (summed / size)[rejected], ((summed - behind) / size)[rejected]

    rejected = rewards.rejected
    pairs = float(rejected.sum())
    logps_chosen, logps_rejected = mean_log_likelihoods(policy_logits)
    reference_chosen, reference_rejected = mean_log_likelihoods(reference_logits)
    values = {
        "rewards/chosen": loss.beta * (logps_chosen - reference_chosen),
        "rewards/rejected": loss.beta * (logps_rejected - reference_rejected),
        "rewards/margins": loss.beta * rewards.margins[rejected],
        "rewards/accuracies": (rewards.margins[rejected] > 0).float(),
        "logps/chosen": logps_chosen,
        "logps/rejected": logps_rejected,
    }
    sums = {name: (float(value.sum()), pairs) for name, value in values.items()}
    kl = bernoulli_kl(policy_logits.float(), reference_logits.float())
    sums["kl"] = (float(kl.sum()), float(kl.numel()))
    sums["regions/judged"] = (float(rewards.judged.sum()), float(len(chosen)))
    return sums
