"""Pseudo labels: weighted targets from a teacher's prediction and a few clicks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from bundle.channels import background_of, density_of, foreground_of, logits_of
from bundle.errors import SettingError

CLICK_MEMORY = 128
"""Number of latest clicks from which the threshold of estimated points is computed."""

LOWEST_RANK = 0.6
RANK_OF_DENSITY = 0.3
"""An estimated click ranks from 0.6 to 0.9, growing with the density: behind every given click, which has 1."""


def flood(seeds: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
    """Everything in ``region`` that is 8-connected to a seed (morphological reconstruction by dilation).

    Args:
        seeds: (B,1,H,W) bool.
        region: (B,1,H,W) bool.

    Returns:
        (B,1,H,W) bool.
    """
    inside = region.float()
    reached = (seeds & region).float()
    for _ in range(region[0].numel()):  # each pass but the last grows by one pixel
        grown = F.max_pool2d(reached, 3, stride=1, padding=1) * inside
        if torch.equal(grown, reached):
            break
        reached = grown
    return reached > 0


def discs(clicks: torch.Tensor, radius: int) -> torch.Tensor:
    """Discs of a radius in pixels around clicks, (B,1,H,W) to bool (B,1,H,W)."""
    r = torch.arange(-radius, radius + 1, device=clicks.device, dtype=torch.float32)
    kernel = (r[:, None].square() + r[None].square() <= radius * radius).float()
    return F.conv2d(clicks.float(), kernel[None, None], padding=radius) > 0.5


def density_peaks(density: torch.Tensor, threshold: float = 0.5, radius: int = 4) -> torch.Tensor:
    """Local maxima of a density map above a threshold (non-maximum suppression).

    Args:
        density: (B,1,H,W).
        threshold: smallest value of a peak.
        radius: a peak is the largest value within a square of this half width, in pixels.

    Returns:
        (B,1,H,W) bool. A plateau has one peak for each of its pixels; floating-point maps hardly have one.
    """
    highest = F.max_pool2d(density, 2 * radius + 1, stride=1, padding=radius)
    return (density == highest) & (density > threshold)


def highest_peaks(density: torch.Tensor, peaks: torch.Tensor, room: torch.Tensor, limit: int) -> torch.Tensor:
    """Keep the highest peaks of each image.

    Args:
        density: (B,1,H,W).
        peaks: (B,1,H,W) bool.
        room: (B,) how many to keep, at most ``limit``.
        limit: the most that any image keeps, at most H*W.

    Returns:
        (B,1,H,W) bool.
    """
    height = torch.where(peaks, density, torch.full_like(density, -torch.inf)).flatten(1)
    value, index = height.topk(limit, dim=1)
    kept = value.isfinite() & (torch.arange(limit, device=density.device) < room[:, None])
    return torch.zeros_like(height, dtype=torch.bool).scatter(1, index, kept).view_as(peaks)


def draw_density(clicks: torch.Tensor, sigma: float) -> torch.Tensor:
    """Draw Gaussians of peak 1 at clicks, (B,1,H,W) to (B,1,H,W); where two overlap they add up, clipped at 1."""
    reach = int(3 * sigma + 0.5)  # beyond 3 sigma a Gaussian is below 0.012
    r = torch.arange(-reach, reach + 1, device=clicks.device, dtype=torch.float32)
    g = torch.exp(-r.square() / (2 * sigma * sigma))
    drawn = F.conv2d(clicks.float(), g[None, None, :, None], padding=(reach, 0))
    return F.conv2d(drawn, g[None, None, None, :], padding=(0, reach)).clamp(max=1.0)


def rank_clicks(given: torch.Tensor, density: torch.Tensor) -> torch.Tensor:
    """Rank clicks, for images that have more of them than the network takes.

    Args:
        given: (B,2,H,W) the clicks that a person made, 1 at each and 0 elsewhere.
        density: (B,1,H,W) in [0,1].

    Returns:
        (B,2,H,W): 1 at given clicks; elsewhere in [0.6, 0.9], for an estimated one.
    """
    return torch.where(given > 0.5, torch.ones_like(given), LOWEST_RANK + RANK_OF_DENSITY * density)


@dataclass
class PseudoLabels:
    """Targets for the student, each (B,1,H,W), and the clicks behind them.

    Attributes:
        mask: 0 or 1.
        density: in [0,1].
        weight: trust in [0,1].
        clicks: (B,2,H,W) given and estimated clicks, 1 at each and 0 elsewhere.
        ranks: (B,2,H,W) of the clicks, see :func:`rank_clicks`.
        predicted: 0 or 1, the teacher's own mask before clicks corrected it.
    """

    mask: torch.Tensor
    density: torch.Tensor
    weight: torch.Tensor
    clicks: torch.Tensor
    ranks: torch.Tensor
    predicted: torch.Tensor


class PseudoLabeler(nn.Module):
    """Turn a teacher's prediction and the given clicks into pseudo labels (Prompt-DAS, section 2; weights are ours).

    - An instance that holds a given foreground click is trusted: the pixels connected to the click where the
      foreground probability p is above ``low_threshold`` (hysteresis: a click lowers the bar), and a disc around it.
    - A predicted instance that holds a background click is background, and so is one that is in doubt because it
      looks like none of the clicked ones (:class:`ExemplarBank`).
    - Elsewhere a pixel counts when max(p, 1-p) >= ``confidence``, and as foreground only in a predicted instance
      that holds a point, given or estimated (public code: filter with detection); other pixels are ignored.
    - Where every instance was clicked (``complete``), predicted foreground that no click reaches is background,
      unless it touches the border of the crop, beyond which its click may lie.

    Args:
        confidence: smallest max(p, 1-p) of an untrusted pixel that counts.
        low_threshold: smallest p of foreground connected to a click.
        click_radius: radius in pixels of the disc around a foreground click that is foreground.
        peak_threshold: smallest density of an estimated point.
        recall: share of the clicked instances that must be found as estimated points. The density that this share of
            them reaches is the threshold for the others, if it is above ``peak_threshold`` (ours).
        peak_radius: half width of the non-maximum suppression of points, in pixels.
        density_sigma: standard deviation in pixels of the Gaussian drawn at a given click.

    Raises:
        SettingError: when a threshold is outside its range.
    """

    def __init__(
        self,
        confidence: float = 0.8,
        low_threshold: float = 0.3,
        click_radius: int = 2,
        peak_threshold: float = 0.5,
        recall: float = 0.8,
        peak_radius: int = 4,
        density_sigma: float = 4.0,
    ) -> None:
        super().__init__()
        if not 0.5 <= confidence < 1:
            raise SettingError(f"confidence must be in [0.5, 1), got {confidence}")
        if not 0 < low_threshold <= 0.5:
            raise SettingError(f"low_threshold must be in (0, 0.5], got {low_threshold}")
        self.confidence = confidence
        self.low_threshold = low_threshold
        self.click_radius = click_radius
        self.peak_threshold = peak_threshold
        self.recall = recall
        self.click_scores = torch.zeros(0)
        self.peak_radius = peak_radius
        self.density_sigma = density_sigma

    def get_extra_state(self) -> dict[str, torch.Tensor]:
        """The scores of the latest clicks, for a resumed run. Their number varies, so they are no buffer."""
        return {"click_scores": self.click_scores}

    def set_extra_state(self, state: dict[str, torch.Tensor]) -> None:
        """Take over the scores of another labeler."""
        self.click_scores = state["click_scores"]

    def estimate_clicks(self, density: torch.Tensor, given: torch.Tensor, max_points: int) -> torch.Tensor:
        """Add the peaks of the teacher's density to the given clicks, except near a given click.

        Args:
            density: (B,1,H,W).
            given: (B,2,H,W).
            max_points: the most clicks of an image. The given ones come first, then the highest peaks.

        Returns:
            (B,2,H,W) of 0 and 1.
        """
        # Two peaks are more than peak_radius apart; a click is not always at the peak of its own instance.
        near = discs(given.amax(dim=1, keepdim=True), 2 * self.peak_radius)
        estimated = density_peaks(density, self.threshold(density, given), self.peak_radius) & ~near
        room = max_points - (given > 0.5).sum(dim=(1, 2, 3))
        estimated = highest_peaks(density, estimated, room, max_points)
        return torch.cat((torch.maximum(foreground_of(given), estimated.to(given.dtype)), background_of(given)), dim=1)

    def threshold(self, density: torch.Tensor, given: torch.Tensor) -> float:
        """Smallest density of an estimated point, from the densities that the latest clicked instances reached.

        Args:
            density: (B,1,H,W) of the teacher, without prompts.
            given: (B,2,H,W).
        """
        reach = 4 * self.peak_radius + 1  # a square of half width 2 * peak_radius, as in estimate_clicks
        scores = F.max_pool2d(density, reach, stride=1, padding=reach // 2)[foreground_of(given) > 0.5]
        self.click_scores = torch.cat((self.click_scores.to(scores), scores))[-CLICK_MEMORY:]
        if len(self.click_scores) < CLICK_MEMORY // 4:  # too few for a quantile
            return self.peak_threshold
        return float(self.click_scores.quantile(1 - self.recall).clamp(self.peak_threshold, 0.95))

    def forward(
        self,
        pred: torch.Tensor,
        given: torch.Tensor,
        clicks: torch.Tensor,
        complete: torch.Tensor,
        doubtful: torch.Tensor,
    ) -> PseudoLabels:
        """Make pseudo labels.

        Args:
            pred: (B,2,H,W) the teacher's mask logits and density, prompted with ``clicks``.
            given: (B,2,H,W) the clicks that a person made.
            clicks: (B,2,H,W) those and the estimated ones.
            complete: (B,) bool, every instance of the image has a given click.
            doubtful: (B,1,H,W) bool, predicted instances in doubt.
        """
        p = logits_of(pred).sigmoid()
        foreground, background = foreground_of(given) > 0.5, background_of(given) > 0.5
        possible = p > self.low_threshold
        proved = flood(foreground, possible) | discs(foreground, self.click_radius)
        refuted = (flood(background, p > 0.5) | doubtful) & ~proved | discs(background, self.click_radius)
        all_clicked = complete.view(-1, 1, 1, 1)
        inner = possible & ~flood(self._border(possible), possible)  # a click beyond the crop may prove the rest
        refuted = refuted | (all_clicked & inner & ~proved)
        mask = ((p > 0.5) | proved) & ~refuted
        found = flood(foreground_of(clicks) > 0.5, p > 0.5)
        weight = (1 - p >= self.confidence) | (found & (p >= self.confidence)) | proved | refuted
        density = density_of(pred).clamp(0, 1)
        density = torch.where(refuted, torch.zeros_like(density), density)
        # A given click is a point even where the teacher sees none.
        density = torch.maximum(density, draw_density(foreground, self.density_sigma))
        return PseudoLabels(
            mask=mask.to(p.dtype),
            density=density,
            weight=weight.to(p.dtype),
            clicks=clicks,
            ranks=rank_clicks(given, density),
            predicted=(p > 0.5).to(p.dtype),
        )

    @staticmethod
    def _border(like: torch.Tensor) -> torch.Tensor:
        border = torch.ones_like(like)
        border[..., 1:-1, 1:-1] = False
        return border
