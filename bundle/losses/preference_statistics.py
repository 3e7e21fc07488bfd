"""How a policy stands to the judgements, under the names that TRL's trainers use."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from bundle.losses.anchor import bernoulli_kl
from bundle.losses.preference import PreferenceLoss, PreferenceRewards, sum_by_region, winners_of_pixels, winning_mask


@torch.no_grad()
def preference_statistics(
    loss: PreferenceLoss,
    rewards: PreferenceRewards,
    policy_logits: torch.Tensor,
    reference_logits: torch.Tensor,
    candidates: torch.Tensor,
    winners: torch.Tensor,
    regions: torch.Tensor,
) -> dict[str, tuple[float, float]]:
    """Sum what there is to watch over a batch.

    Log-likelihoods and rewards are means over the pixels of a region where its winner and the loser differ, for
    elsewhere both are alike; then over all losers of all judged regions.

    Args:
        loss: gives beta.
        rewards: what ``loss.rewards`` gave for the tensors that follow, which are those of its ``forward``.
        policy_logits: (B,1,H,W).
        reference_logits: (B,1,H,W).
        candidates: (B,K,H,W).
        winners: (B,R).
        regions: (B,H,W).

    Returns:
        For each name a sum and the number of what was summed: ``rewards/chosen``, ``rewards/rejected``,
        ``rewards/margins``, ``rewards/accuracies`` (share of losers behind their winner), ``logps/chosen``,
        ``logps/rejected``, ``kl`` (of the policy to the reference, nats a pixel), ``regions/judged`` (a crop).
    """
    masks = candidates.flatten(2).float()
    best = winning_mask(candidates, winners_of_pixels(winners, regions)).flatten(1).unsqueeze(1).float()
    differ = (best != masks).float()
    size = sum_by_region(differ, regions, winners.shape[1]).clamp(min=1.0)

    def mean_log_likelihood(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        z = logits.flatten(1).float().unsqueeze(1)
        return sum_by_region(differ * F.logsigmoid(torch.where(y > 0.5, z, -z)), regions, winners.shape[1]) / size

    losers = rewards.losers
    pairs = float(losers.sum())
    chosen, rejected = (mean_log_likelihood(policy_logits, y)[losers] for y in (best, masks))
    chosen_before, rejected_before = (mean_log_likelihood(reference_logits, y)[losers] for y in (best, masks))
    values = {
        "rewards/chosen": loss.beta * (chosen - chosen_before),
        "rewards/rejected": loss.beta * (rejected - rejected_before),
        "rewards/margins": loss.beta * rewards.margins[losers],
        "rewards/accuracies": (rewards.margins[losers] > 0).float(),
        "logps/chosen": chosen,
        "logps/rejected": rejected,
    }
    sums = {name: (float(value.sum()), pairs) for name, value in values.items()}
    kl = bernoulli_kl(policy_logits.float(), reference_logits.float())
    sums["kl"] = (float(kl.sum()), float(kl.numel()))
    sums["regions/judged"] = (float(rewards.judged.sum()), float(len(winners)))
    return sums
