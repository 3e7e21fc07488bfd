"""Other forms of the comparison between chosen and rejected candidates, each a class that takes what LPO takes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from skimage.measure import label
from torch.nn import functional as F

from bundle.errors import SettingError
from bundle.losses.preference import (
    PreferenceLoss,
    PreferenceRewards,
    chosen_mask,
    chosen_of_pixels,
    sum_by_region,
)


class IPOLoss(PreferenceLoss):
    """Bring each margin to a target instead of pushing it on (IPO, arXiv 2310.12036).

        L = mean over l of (d(w; r) - d(l; r) - 1 / (2 beta))^2, averaged over the judged regions.

    A margin beyond the target is brought back, so the policy cannot leave its reference for ever.

    Args:
        beta: above 0; at 0.1 the chosen candidate shall gain 5 in logits on the mean differing pixel.
        normalize, hard_rejected: see :class:`bundle.losses.PreferenceLoss`.
    """

    def __init__(self, beta: float = 0.1, normalize: str = "disagreement", hard_rejected: int | None = None) -> None:
        super().__init__(beta, normalize, hard_rejected=hard_rejected)

    def loss_of(self, rewards: PreferenceRewards) -> torch.Tensor:
        """The loss, a scalar, of margins that :meth:`rewards` gave."""
        return mean_of_regions((rewards.margins - 1 / (2 * self.beta)).square(), rewards)


class HingeLoss(PreferenceLoss):
    """Push each margin on until it is large enough, and no further (SLiC-HF, arXiv 2305.10425, as TRL has it).

        L = mean over l of max(0, 1 - beta (d(w; r) - d(l; r))), averaged over the judged regions.

    Args:
        beta: above 0; at 0.25 a margin of 4 in logits is enough.
        normalize, hard_rejected: see :class:`bundle.losses.PreferenceLoss`.
    """

    def __init__(self, beta: float = 0.25, normalize: str = "disagreement", hard_rejected: int | None = None) -> None:
        super().__init__(beta, normalize, hard_rejected=hard_rejected)

    def loss_of(self, rewards: PreferenceRewards) -> torch.Tensor:
        """The loss, a scalar, of margins that :meth:`rewards` gave."""
        return mean_of_regions(F.relu(1 - self.beta * rewards.margins), rewards)


class PixelLoss(PreferenceLoss):
    """Compare pixel by pixel, each with its own saturation (token-level DPO, after arXiv 2404.11999).

    With D the pixels of r where w and l differ and s_i = w_i - l_i,

        L = mean over l of mean over i in D of -log sigmoid(beta s_i (z_i - z_ref_i)), averaged over the regions.

    A region whose margin is large already still teaches the pixels that lag behind.

    Args:
        beta: above 0.
        reference_free: leave z_ref out. At beta 1 it is ``nll`` then, each pixel weighted by the share of rejected
            candidates that differ there.
        hard_rejected: see :class:`bundle.losses.PreferenceLoss`.
    """

    def __init__(self, beta: float = 1.0, reference_free: bool = False, hard_rejected: int | None = None) -> None:
        super().__init__(beta, "disagreement", hard_rejected=hard_rejected)
        self.reference_free = reference_free

    def forward(
        self,
        policy_logits: torch.Tensor,
        reference_logits: torch.Tensor,
        candidates: torch.Tensor,
        chosen: torch.Tensor,
        regions: torch.Tensor,
    ) -> torch.Tensor:
        """Compute the loss; arguments and result as of :meth:`bundle.losses.PreferenceLoss.forward`."""
        rewards = self.rewards(policy_logits, reference_logits, candidates, chosen, regions)
        sign = signs(candidates, chosen, regions)
        gain = gains(policy_logits, reference_logits, self.reference_free)
        loss = sign.abs() * F.softplus(-self.beta * sign * gain)
        size = sum_by_region(sign.abs(), regions, chosen.shape[1])
        return mean_of_regions(sum_by_region(loss, regions, chosen.shape[1]) / size.clamp(min=1.0), rewards)


class ComponentLoss(PreferenceLoss):
    """Push each connected difference on until its mean margin is large enough (ours).

    The pixels D of r where w and l differ fall into 8-connected components C, such as a missed object and a shifted
    border. An annotator who prefers w to l has judged what is large among them, and says little of the rest, so C
    counts where it has at least the share ``min_share`` of D. With s_i = w_i - l_i and m_C = mean over i in C of
    s_i (z_i - z_ref_i),

        L = mean over l of the mean over C, by size, of max(0, gamma - beta m_C), averaged over the regions.

    A component that has its margin teaches no more, whatever the others of the region lack. Components are found on
    the CPU.

    Args:
        beta: above 0.
        gamma: margin that is enough, above 0.
        min_share: smallest share of D of a component that counts, in [0,1]; 0 for all.
        reference_free: leave z_ref out, so that a component is done when the policy is sure of the chosen candidate
            rather than surer than it was.
        hard_rejected: see :class:`bundle.losses.PreferenceLoss`.

    Raises:
        SettingError: when a setting is out of range.
    """

    def __init__(
        self,
        beta: float = 1.0,
        gamma: float = 2.0,
        min_share: float = 0.3,
        reference_free: bool = True,
        hard_rejected: int | None = None,
    ) -> None:
        super().__init__(beta, "disagreement", hard_rejected=hard_rejected)
        if not gamma > 0:
            raise SettingError(f"gamma must be above 0, got {gamma}")
        if not 0 <= min_share <= 1:
            raise SettingError(f"min_share is {min_share}, expected a share in [0, 1]")
        self.gamma = gamma
        self.min_share = min_share
        self.reference_free = reference_free

    def forward(
        self,
        policy_logits: torch.Tensor,
        reference_logits: torch.Tensor,
        candidates: torch.Tensor,
        chosen: torch.Tensor,
        regions: torch.Tensor,
    ) -> torch.Tensor:
        """Compute the loss; arguments and result as of :meth:`bundle.losses.PreferenceLoss.forward`."""
        rewards = self.rewards(policy_logits, reference_logits, candidates, chosen, regions)
        sign = signs(candidates, chosen, regions)
        gain = sign * gains(policy_logits, reference_logits, self.reference_free)
        differ = sign != 0
        numbers = torch.from_numpy(number_components(differ.view_as(candidates), regions)).to(sign.device).flatten(1)
        count = int(numbers.max()) + 1
        flat, where = gain[differ], numbers.view_as(sign)[differ]
        size = flat.new_zeros(count).index_add(0, where, torch.ones_like(flat))
        margin = flat.new_zeros(count).index_add(0, where, flat) / size.clamp(min=1.0)
        short = F.relu(self.gamma - self.beta * margin)
        # each pixel takes the loss of its component, so a component counts by its size
        own = torch.zeros_like(sign).masked_scatter(differ, size[where])
        whole = sum_by_region(sign.abs(), regions, chosen.shape[1])
        inside = regions.flatten(1).clamp(min=0).unsqueeze(1).expand_as(sign)
        counts = differ & (own >= self.min_share * whole.transpose(1, 2).gather(2, inside))
        spread = counts * torch.zeros_like(sign).masked_scatter(differ, short[where])
        total, pixels = (sum_by_region(values, regions, chosen.shape[1]) for values in (spread, counts.float()))
        return mean_of_regions(total / pixels.clamp(min=1.0), rewards)


def choose_preference_loss(loss_type: str, losses: Mapping[str, PreferenceLoss]) -> PreferenceLoss:
    """Find the form of the comparison that a configuration names.

    Args:
        loss_type: its name.
        losses: the forms by their names.

    Raises:
        SettingError: there is no such name.
    """
    if loss_type not in losses:
        raise SettingError(f"loss_type is {loss_type!r}, expected one of {', '.join(losses)}")
    return losses[loss_type]


def mean_of_regions(losses: torch.Tensor, rewards: PreferenceRewards) -> torch.Tensor:
    """Mean over the rejected candidates of each region, then over the judged regions.

    Args:
        losses: (B,R,K).
        rewards: say which are rejected.

    Returns:
        Scalar; 0 with a gradient of 0 when nothing is judged.
    """
    rejected = rewards.rejected.to(losses.dtype)
    of_regions = (rejected * losses).sum(dim=2) / rejected.sum(dim=2).clamp(min=1.0)
    return of_regions.sum() / rewards.judged.sum().clamp(min=1)


def signs(candidates: torch.Tensor, chosen: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
    """Chosen candidate minus each candidate where a region has a chosen one, else 0; (B,K,H*W) of -1, 0 and 1."""
    choice = chosen_of_pixels(chosen, regions)
    difference = chosen_mask(candidates, choice).unsqueeze(1).float() - candidates.float()
    return (difference * (choice >= 0).unsqueeze(1)).flatten(2)


def gains(policy_logits: torch.Tensor, reference_logits: torch.Tensor, reference_free: bool) -> torch.Tensor:
    """Logits of the policy, less those of the reference unless they are left out; (B,1,H*W) float32."""
    z = policy_logits.flatten(2).float()
    return z if reference_free else z - reference_logits.detach().flatten(2).float()


def number_components(differ: torch.Tensor, regions: torch.Tensor) -> np.ndarray:
    """Number the connected parts of masks, none of which reaches over the border of a region.

    Args:
        differ: (B,K,H,W) bool.
        regions: (B,H,W) long.

    Returns:
        (B,K,H,W) int64, from 1 where ``differ`` holds, 0 elsewhere.
    """
    # neighbours of different values are not connected
    values = torch.where(differ, regions.unsqueeze(1) + 2, torch.zeros_like(regions).unsqueeze(1)).cpu().numpy()
    numbers = np.zeros(values.shape, np.int64)
    last = 0
    for image in np.ndindex(values.shape[:2]):
        parts, count = label(values[image], background=0, return_num=True, connectivity=2)
        numbers[image] = np.where(parts > 0, parts + last, 0)
        last += count
    return numbers
