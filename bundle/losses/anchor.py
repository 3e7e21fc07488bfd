"""Losses that keep a policy close to its reference, and its chosen candidates likely (ours)."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from bundle.channels import density_of, logits_of
from bundle.keys import NONE
from bundle.losses.preference import chosen_mask, chosen_of_pixels


def anchor_losses(
    policy: torch.Tensor,
    reference: torch.Tensor,
    candidates: torch.Tensor,
    chosen: torch.Tensor,
    regions: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """Compute the losses that are added to the preference loss.

    A pixel counts as judged where its region has a chosen candidate and the candidates disagree. There ``nll`` is the
    mean negative log-likelihood of the chosen candidates (as in iterative RPO, arXiv 2404.19733): without it the
    policy can lower the preference loss by making the rejected candidates unlikely alone. Over all other pixels,
    where the preference loss has no gradient but shared weights drift, ``anchor`` is the mean of
    KL(reference || policy); regions of which an annotator said *none of these* are not held, for there the reference is
    wrong. ``det`` is the mean squared difference of both density maps.

    Args:
        policy: (B,2,H,W) foreground logits and density.
        reference: (B,2,H,W), the same without gradient.
        candidates: (B,K,H,W) of 0 and 1.
        chosen: (B,R) as :class:`bundle.losses.PreferenceLoss` takes them, ``NONE`` for *none of these*.
        regions: (B,H,W), likewise.

    Returns:
        ``nll``, ``anchor`` and ``det``, scalars from 0; ``nll`` is 0 where nothing is judged.
    """
    agreed = (candidates.amax(dim=1) == candidates.amin(dim=1)).unsqueeze(1).to(policy.dtype)
    choice = chosen_of_pixels(chosen, regions)
    best = chosen_mask(candidates, choice).unsqueeze(1)
    judged = (1 - agreed) * (choice >= 0).unsqueeze(1).float()
    nll = F.binary_cross_entropy_with_logits(logits_of(policy), best, reduction="none")
    divergence = bernoulli_kl(logits_of(reference), logits_of(policy))
    return {
        "nll": _mean_where(judged, nll),
        "anchor": _mean_where((1 - judged) * (choice != NONE).unsqueeze(1), divergence),
        "det": (density_of(policy) - density_of(reference)).square().mean(),
    }


def bernoulli_kl(logits: torch.Tensor, other_logits: torch.Tensor) -> torch.Tensor:
    """KL(p || q) in nats of Bernoulli distributions with logits z_p and z_q, elementwise and stable.

    p (log p - log q) + (1-p) (log(1-p) - log(1-q)) = p (z_p - z_q) + log(1-p) - log(1-q).

    Args:
        logits: z_p, any shape.
        other_logits: z_q, the same shape.
    """
    kl = logits.sigmoid() * (logits - other_logits) + F.logsigmoid(-logits) - F.logsigmoid(-other_logits)
    return kl.clamp(min=0.0)


def _mean_where(weight: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Mean of values where a weight of 0 or 1 is 1; 0 where it is nowhere."""
    return (weight * values).sum() / weight.sum().clamp(min=1.0)
