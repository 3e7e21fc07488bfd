"""Pseudo labels: weighted targets from a teacher's prediction and a few clicks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from bundle.channels import background_of, density_of, foreground_of, logits_of
from bundle.errors import SettingError
from bundle.self_training.components import Components
from bundle.self_training.peaks import density_peaks, draw_density, highest_peaks, square_maximum

CLICK_MEMORY = 128
"""Number of latest clicks from which the threshold of estimated points is computed."""

GIVEN_RANK = 1.0
LOWEST_RANK = 0.6
RANK_OF_DENSITY = 0.3
"""An estimated click ranks from 0.6 to 0.9, growing with the density: behind every given click."""


def discs(clicks: torch.Tensor, radius: int) -> torch.Tensor:
    """Discs of a radius in pixels around clicks, (B,1,H,W) to bool (B,1,H,W)."""
    drawn = torch.zeros_like(clicks, dtype=torch.bool)
    b, _, x, y = clicks.nonzero().unsqueeze(-1).unbind(1)  # few: so one after the other, no convolution of the image
    r = torch.arange(-radius, radius + 1, device=clicks.device)
    dx, dy = (r[:, None].square() + r.square() <= radius * radius).nonzero().T - radius
    x, y = x + dx, y + dy
    inside = (x >= 0) & (x < clicks.shape[2]) & (y >= 0) & (y < clicks.shape[3])
    drawn[b.expand_as(x)[inside], 0, x[inside], y[inside]] = True
    return drawn


def rank_clicks(given: torch.Tensor, density: torch.Tensor) -> torch.Tensor:
    """Rank clicks, for images that have more of them than the network takes.

    Args:
        given: (B,2,H,W) the clicks that a person made, 1 at each and 0 elsewhere.
        density: (B,1,H,W) in [0,1].

    Returns:
        (B,2,H,W): 1 at given clicks; elsewhere in [0.6, 0.9], for an estimated one.
    """
    return torch.where(given > 0.5, GIVEN_RANK, LOWEST_RANK + RANK_OF_DENSITY * density)


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
      The teacher may have found a part of it alone: so within ``near_radius`` of the click a pixel is background
      where 1-p >= ``near_confidence``, and not by doubt.
    - A predicted instance that holds a background click is background, and so is one that is in doubt because it
      looks like none of the clicked ones (:class:`ExemplarBank`).
    - Elsewhere a pixel counts when max(p, 1-p) >= ``confidence``, and as foreground only in a predicted instance
      that holds a point, given or estimated (public code: filter with detection); other pixels are ignored.
    - Where every instance was clicked (``complete``), predicted foreground that no click reaches is background,
      unless it touches the border of the crop, beyond which its click may lie, or comes within ``near_radius`` of a
      click: then it may be another part of a clicked instance, and is ignored.
    - Nothing that is background by a click or by doubt keeps an estimated point.

    Args:
        confidence: smallest max(p, 1-p) of an untrusted pixel that counts.
        low_threshold: smallest p of foreground connected to a click.
        click_radius: radius in pixels of the disc around a foreground click that is foreground.
        near_radius: distance in pixels from a foreground click up to which the rest of its instance may lie.
        near_confidence: as ``confidence``, of background that near; 1 ignores it.
        peak_threshold: smallest density of an estimated point.
        recall: share of the clicked instances that must be found as estimated points. The density that this share of
            them reaches is the threshold for the others, if it is above ``peak_threshold`` (ours).
        peak_radius: half width of the non-maximum suppression of points, in pixels.
        density_sigma: standard deviation in pixels of the Gaussian drawn at the centre of a clicked instance.

    Raises:
        SettingError: when a threshold is outside its range.
    """

    def __init__(
        self,
        confidence: float = 0.8,
        low_threshold: float = 0.3,
        click_radius: int = 2,
        near_radius: int = 12,
        near_confidence: float = 0.95,
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
        if not confidence <= near_confidence <= 1:
            raise SettingError(f"near_confidence must be in [confidence, 1] = [{confidence}, 1], got {near_confidence}")
        self.confidence = confidence
        self.low_threshold = low_threshold
        self.click_radius = click_radius
        self.near_radius = near_radius
        self.near_confidence = near_confidence
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

    def estimate_clicks(
        self, pred: torch.Tensor, given: torch.Tensor, complete: torch.Tensor, max_points: int
    ) -> torch.Tensor:
        """Add the peaks of the teacher's density to the given clicks, except near a given click.

        Where every instance was clicked, only those are added that lie in a predicted instance at the border of the
        crop, whose click may lie beyond.

        Args:
            pred: (B,2,H,W) the teacher's mask logits and density, without prompts.
            given: (B,2,H,W).
            complete: (B,) bool, every instance of the image has a given click.
            max_points: the most clicks of an image. The given ones come first, then the highest peaks.

        Returns:
            (B,2,H,W) of 0 and 1.
        """
        # Two peaks are more than peak_radius apart; a click is not always at the peak of its own instance.
        near = discs(given.amax(dim=1, keepdim=True), 2 * self.peak_radius)
        density = density_of(pred)
        estimated = density_peaks(density, self.threshold(density, given), self.peak_radius) & ~near
        if complete.any():
            predicted = logits_of(pred) > 0
            estimated &= ~complete.view(-1, 1, 1, 1) | Components(predicted).holding(border_of(predicted))
        room = max_points - (given > 0.5).sum(dim=(1, 2, 3))
        estimated = highest_peaks(density, estimated, room, max_points)
        return torch.cat((torch.maximum(foreground_of(given), estimated.to(given.dtype)), background_of(given)), dim=1)

    def threshold(self, density: torch.Tensor, given: torch.Tensor) -> float:
        """Smallest density of an estimated point, from the densities that the latest clicked instances reached.

        Args:
            density: (B,1,H,W) of the teacher, without prompts.
            given: (B,2,H,W).
        """
        # The half width is that of estimate_clicks.
        scores = square_maximum(density, 2 * self.peak_radius)[foreground_of(given) > 0.5]
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
        possible, predicted = Components(p > self.low_threshold), Components(p > 0.5)
        proved = possible.holding(foreground) | discs(foreground, self.click_radius)
        near = discs(foreground, self.near_radius)
        refuted = (predicted.holding(background) | (doubtful & ~near)) & ~proved
        refuted = refuted | discs(background, self.click_radius)
        if complete.any():
            # What a click may prove: one beyond the crop, or one at another part of the instance.
            provable = possible.holding(border_of(p) | near)
            all_clicked = complete.view(-1, 1, 1, 1)
            refuted = refuted | (all_clicked & (p > self.low_threshold) & ~provable & ~proved)
        mask = ((p > 0.5) | proved) & ~refuted
        found = predicted.holding(foreground_of(clicks) > 0.5)
        empty = 1 - p >= torch.where(near, self.near_confidence, self.confidence)
        weight = empty | (found & (p >= self.confidence)) | proved | refuted
        density = density_of(pred).clamp(0, 1)
        density = torch.where(refuted, torch.zeros_like(density), density)
        # A clicked instance has a centre even where the teacher sees none.
        centres = Components(proved).centres_of(foreground)
        density = torch.maximum(density, draw_density(centres, self.density_sigma))
        kept = (foreground_of(clicks) > 0.5) & (foreground | ~refuted)
        return PseudoLabels(
            mask=mask.to(p.dtype),
            density=density,
            weight=weight.to(p.dtype),
            clicks=torch.cat((kept.to(clicks.dtype), background_of(clicks)), dim=1),
            ranks=rank_clicks(given, density),
            predicted=(p > 0.5).to(p.dtype),
        )


def border_of(like: torch.Tensor) -> torch.Tensor:
    """The outermost pixels of each image, bool of the shape (B,1,H,W) of ``like``."""
    border = torch.ones_like(like, dtype=torch.bool)
    border[..., 1:-1, 1:-1] = False
    return border
