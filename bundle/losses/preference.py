"""Local direct preference optimisation (LPO) and its relatives, one class for all of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional as F

from bundle.errors import SettingError

NORMALIZATIONS = ("region", "disagreement")
LOSS_TYPES = ("dpo", "simpo")


@dataclass
class PreferenceRewards:
    """Implicit rewards of a policy for judged regions, each (B,R,K) for R regions and K candidates.

    Attributes:
        margins: d(w; r) - d(l; r), implicit reward of the chosen candidate minus that of each candidate; 0 where
            ``rejected`` is False.
        rejected: bool, candidates that differ from the chosen candidate somewhere in the region.
    """

    margins: torch.Tensor
    rejected: torch.Tensor

    @property
    def judged(self) -> torch.Tensor:
        """(B,R) bool, regions with a chosen candidate and at least one rejected candidate."""
        return self.rejected.any(dim=2)


class PreferenceLoss(nn.Module):
    """Prefer the chosen candidate of each judged region to the rejected ones (Prefer-DAS, arXiv 2602.19423, LPO).

    For candidate y and region r the policy's score is the mean log-likelihood s(y; r) = mean over i in r of
    log pi(y_i | x), the implicit reward d(y; r) = s(y; r) - s_ref(y; r). With chosen w and rejected l

        L = -log sigmoid(-log sum over l of exp(beta (d(l; r) - d(w; r)))), averaged over the judged regions.

    One l makes it DPO (arXiv 2305.18290), several softmax-DPO (S-DPO, arXiv 2406.09215), one region that is the whole
    image ordinary image-level DPO, regions in which none was chosen SLPO. With z the foreground logit,
    log pi(1) - log pi(0) = z, so only pixels D where w and l differ count, and nothing but logits is needed:

        d(w; r) - d(l; r) = 1/N sum over i in D of (w_i - l_i) (z_i - z_ref_i).

    Args:
        beta: factor of the difference of rewards (public code: 1).
        normalize: N is the number of pixels of the region (``region``, the paper's form), or of D, the pixels of the
            region where l and w differ (``disagreement``, region-normalised DPO, arXiv 2601.23222).
        label_smoothing: share e in [0, 0.5) of judgements taken to be wrong: (1-e) L + e L with w and l exchanged,
            for one l conservative DPO.
        loss_type: ``dpo``, or ``simpo`` (arXiv 2405.14734): no reference, so d = s, and s(w; r) must be
            ahead by ``simpo_gamma / beta``.
        simpo_gamma: of ``simpo`` (public code: 5 at beta 10).
        hard_rejected: compare with no more rejected candidates than these, the ones that differ from the chosen
            candidate at fewest pixels of the region (ours); None for all.

    Raises:
        SettingError: when a setting is out of range.
    """

    def __init__(
        self,
        beta: float = 1.0,
        normalize: str = "region",
        label_smoothing: float = 0.0,
        loss_type: str = "dpo",
        simpo_gamma: float = 0.0,
        hard_rejected: int | None = None,
    ) -> None:
        super().__init__()
        if not beta > 0:
            raise SettingError(f"beta must be above 0, got {beta}")
        if normalize not in NORMALIZATIONS:
            raise SettingError(f"normalize is {normalize!r}, expected one of {', '.join(NORMALIZATIONS)}")
        if not 0 <= label_smoothing < 0.5:
            raise SettingError(f"label_smoothing must be in [0, 0.5), got {label_smoothing}")
        if loss_type not in LOSS_TYPES:
            raise SettingError(f"loss_type is {loss_type!r}, expected one of {', '.join(LOSS_TYPES)}")
        if loss_type != "simpo" and simpo_gamma != 0:
            raise SettingError(f"simpo_gamma is {simpo_gamma}, but loss_type is {loss_type!r}; only simpo has a gamma")
        if hard_rejected is not None and hard_rejected < 1:
            raise SettingError(f"hard_rejected is {hard_rejected}, expected a number of candidates from 1, or null")
        self.beta = beta
        self.normalize = normalize
        self.label_smoothing = label_smoothing
        self.loss_type = loss_type
        self.simpo_gamma = simpo_gamma
        self.hard_rejected = hard_rejected

    def forward(
        self,
        policy_logits: torch.Tensor,
        reference_logits: torch.Tensor,
        candidates: torch.Tensor,
        chosen: torch.Tensor,
        regions: torch.Tensor,
    ) -> torch.Tensor:
        """Compute the loss.

        Args:
            policy_logits: (B,1,H,W) foreground logits z.
            reference_logits: (B,1,H,W) z_ref; no gradient goes there. Not read by ``simpo``.
            candidates: (B,K,H,W) of 0 and 1.
            chosen: (B,R) long, number of the chosen candidate in [0,K), negative where none was chosen.
            regions: (B,H,W) long, the region of a pixel in [0,R), or -1 where it is in none.

        Returns:
            Scalar float32; 0 with a gradient of 0 when nothing is judged.

        Raises:
            ValueError: the shapes do not match.
        """
        return self.loss_of(self.rewards(policy_logits, reference_logits, candidates, chosen, regions))

    def rewards(
        self,
        policy_logits: torch.Tensor,
        reference_logits: torch.Tensor,
        candidates: torch.Tensor,
        chosen: torch.Tensor,
        regions: torch.Tensor,
    ) -> PreferenceRewards:
        """Margins of the chosen candidates, by the arguments of :meth:`forward`."""
        check_shapes(policy_logits, reference_logits, candidates, chosen, regions)
        z = policy_logits.flatten(1).float()
        if self.loss_type == "dpo":
            z = z - reference_logits.detach().flatten(1).float()
        masks = candidates.flatten(2).float()
        best = chosen_mask(candidates, chosen_of_pixels(chosen, regions)).flatten(1).float()
        difference = best.unsqueeze(1) - masks
        total = sum_by_region(difference * z.unsqueeze(1), regions, chosen.shape[1])
        differing = sum_by_region(difference.abs(), regions, chosen.shape[1])
        rejected = (differing > 0) & (chosen >= 0).unsqueeze(2)
        if self.normalize == "disagreement":
            size = differing
        else:
            size = sum_by_region(torch.ones_like(masks[:, :1]), regions, chosen.shape[1])
        margins = torch.where(rejected, total / size.clamp(min=1.0), torch.zeros_like(total))
        rewards = PreferenceRewards(margins, rejected)
        return rewards if self.hard_rejected is None else hardest(rewards, differing, self.hard_rejected)

    def loss_of(self, rewards: PreferenceRewards) -> torch.Tensor:
        """The loss, a scalar, of margins that :meth:`rewards` gave."""
        rejected = rewards.rejected
        ahead = self.beta * rewards.margins - self.simpo_gamma
        # -log sigmoid(-logsumexp over l of -ahead): w is the 0 of one softmax.
        behind = torch.where(rejected, -ahead, torch.full_like(ahead, -torch.inf))
        loss = torch.logsumexp(F.pad(behind, (1, 0)), dim=2)
        if self.label_smoothing > 0:
            count = rejected.sum(dim=2).clamp(min=1)
            exchanged = torch.where(rejected, ahead, torch.zeros_like(ahead)).sum(dim=2) / count
            loss = loss + self.label_smoothing * exchanged
        judged = rewards.judged.to(loss.dtype)
        return (judged * loss).sum() / judged.sum().clamp(min=1.0)


def hardest(rewards: PreferenceRewards, differing: torch.Tensor, count: int) -> PreferenceRewards:
    """Keep the rejected candidates that differ least from the chosen one.

    Args:
        rewards: of all rejected candidates.
        differing: (B,R,K), at how many pixels each differs.
        count: how many to keep in each region; those that differ equally much are kept together.

    Returns:
        Rewards with fewer rejected candidates.
    """
    distance = torch.where(rewards.rejected, differing, torch.full_like(differing, torch.inf))
    limit = distance.sort(dim=2).values[..., min(count, distance.shape[2]) - 1 :][..., :1]
    rejected = rewards.rejected & (distance <= limit)
    return replace(
        rewards, rejected=rejected, margins=torch.where(rejected, rewards.margins, torch.zeros_like(differing))
    )


def chosen_of_pixels(chosen: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
    """Number of the chosen candidate of each pixel's region.

    Args:
        chosen: (B,R) as :meth:`PreferenceLoss.forward` takes them.
        regions: (B,H,W), likewise.

    Returns:
        (B,H,W) long, what ``chosen`` says of the pixel's region, -1 where there is none.
    """
    choice = chosen.gather(1, regions.flatten(1).clamp(min=0)).view_as(regions)
    return torch.where(regions >= 0, choice, torch.full_like(choice, -1))


def chosen_mask(masks: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Compose one mask of the chosen candidates of all regions.

    Args:
        masks: (B,K,H,W) candidates.
        chosen: (B,H,W) long, of each pixel, see :func:`chosen_of_pixels`.

    Returns:
        (B,H,W): at each pixel the value of the chosen candidate. Pixels without one get candidate 0, which the callers
        mask out.
    """
    return masks.gather(1, chosen.clamp(min=0).unsqueeze(1)).squeeze(1)


def sum_by_region(values: torch.Tensor, regions: torch.Tensor, count: int) -> torch.Tensor:
    """Sum over the pixels of each region.

    Args:
        values: (B,K,N), pixels in one axis.
        regions: (B,H,W) long in [-1,R), H*W = N; pixels at -1 are left out.
        count: R.

    Returns:
        (B,R,K).
    """
    flat = regions.flatten(1)
    where = torch.where(flat < 0, torch.full_like(flat, count), flat).unsqueeze(1).expand(-1, values.shape[1], -1)
    sums = values.new_zeros(*values.shape[:2], count + 1).scatter_add(2, where, values)
    return sums[..., :count].transpose(1, 2)


def check_shapes(
    policy_logits: torch.Tensor,
    reference_logits: torch.Tensor,
    candidates: torch.Tensor,
    chosen: torch.Tensor,
    regions: torch.Tensor,
) -> None:
    """Refuse tensors whose shapes do not match.

    Raises:
        ValueError: names all shapes.
    """
    batch, _, height, width = policy_logits.shape
    good = (
        policy_logits.shape == reference_logits.shape == (batch, 1, height, width)
        and candidates.ndim == 4
        and candidates.shape[::2] == (batch, height)
        and candidates.shape[3] == width
        and chosen.ndim == 2
        and chosen.shape[0] == batch
        and chosen.shape[1] > 0
        and regions.shape == (batch, height, width)
    )
    if not good:
        tensors = (policy_logits, reference_logits, candidates, chosen, regions)
        raise ValueError(
            "expected policy and reference logits (B,1,H,W), candidates (B,K,H,W), chosen (B,R), regions (B,H,W); "
            f"got {', '.join(str(tuple(t.shape)) for t in tensors)}"
        )
