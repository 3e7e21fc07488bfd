"""What the judgement *none of these* teaches: every candidate becomes less likely."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from bundle.keys import NONE
from bundle.losses.preference import check_shapes, sum_by_region


def none_of_these_loss(
    policy_logits: torch.Tensor,
    reference_logits: torch.Tensor,
    candidates: torch.Tensor,
    chosen: torch.Tensor,
    regions: torch.Tensor,
    beta: float = 1.0,
) -> torch.Tensor:
    """Make the candidates of regions in which an annotator wants none of them less likely than they were.

    KTO's loss of an undesirable answer with a reference point of 0 (arXiv 2402.01306), for each candidate l:

        L = mean over l of -log sigmoid(-beta d(l; r)), averaged over the regions,

    with d(l; r) = mean over i in r of log pi(l_i | x) - log pi_ref(l_i | x). It counts all pixels of the region, for
    all candidates may share what is wrong.

    Args:
        policy_logits: (B,1,H,W) foreground logits z.
        reference_logits: (B,1,H,W) z_ref; no gradient goes there.
        candidates: (B,K,H,W) of 0 and 1.
        chosen: (B,R) long, ``NONE`` for the regions that count.
        regions: (B,H,W) long, the region of a pixel in [0,R), or -1 where it is in none.
        beta: factor of the reward, above 0.

    Returns:
        Scalar float32 from 0; 0 with a gradient of 0 where there is no such region.

    Raises:
        ValueError: the shapes do not match.
    """
    check_shapes(policy_logits, reference_logits, candidates, chosen, regions)
    sign = 2 * candidates.flatten(2).float() - 1
    policy, reference = (z.flatten(1).float().unsqueeze(1) for z in (policy_logits, reference_logits.detach()))
    gain = F.logsigmoid(sign * policy) - F.logsigmoid(sign * reference)
    size = sum_by_region(torch.ones_like(sign[:, :1]), regions, chosen.shape[1])
    reward = sum_by_region(gain, regions, chosen.shape[1]) / size.clamp(min=1.0)
    wanted_none = ((chosen == NONE) & (size.squeeze(2) > 0)).float()
    loss = F.softplus(beta * reward).mean(dim=2)
    return (wanted_none * loss).sum() / wanted_none.sum().clamp(min=1.0)
