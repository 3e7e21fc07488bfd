"""Stage 2: local preference optimisation on judged regions (Prefer-DAS)."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch.nn import functional as F

from bundle import keys as K
from bundle.engines.parts_trainer import PartsTrainer
from bundle.losses.preference import PreferenceLoss, winning_mask
from bundle.losses.preference_statistics import bernoulli_kl, preference_statistics
from bundle.networks.promptable_segmenter import PromptableSegmenter


class PreferenceTrainer(PartsTrainer):
    """Preference learning with an anchor (Prefer-DAS, arXiv 2602.19423; the anchor is ours).

    ``train_data_loader`` yields ``image`` (B,3,H,W) with the given clicks, ``candidates`` (B,K,H,W), ``regions``
    (B,H,W) and ``winners`` (B,R) as :class:`bundle.losses.PreferenceLoss` takes them. Policy and reference are
    prompted with the same random subset of the clicks.

    Parts of the loss: ``preference``; ``nll``, the winners' mean negative log-likelihood over the judged pixels that
    candidates disagree on (as in iterative RPO, arXiv 2404.19733), for a policy can win a comparison by making losers
    unlikely alone; ``anchor``, the mean KL divergence of the reference from the policy over all other pixels, where
    the preference loss has no gradient but shared weights drift; and ``det``, the mean squared difference of both
    density maps. After an iteration ``state.preference`` is what :func:`bundle.losses.preference_statistics` says.

    Args:
        reference: same architecture as ``network``; a handler copies it (:class:`bundle.handlers.ReferencePolicy`).
        kwargs: of :class:`PartsTrainer`; ``loss_function`` is a :class:`bundle.losses.PreferenceLoss`.
    """

    def __init__(self, *, reference: PromptableSegmenter, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reference = reference.requires_grad_(False).eval()

    def compute_losses(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        """Parts of the loss for a batch of judged crops."""
        image = drop_clicks(batch[K.IMAGE])
        with torch.no_grad():
            before = self.reference(image).float()
        pred = self.inferer(image, self.network).float()
        loss = cast(PreferenceLoss, self.loss_function)
        judged = (pred[:, :1], before[:, :1], batch[K.CANDIDATES], batch[K.WINNERS], batch[K.REGIONS])
        rewards = loss.rewards(*judged)
        self.state.preference = preference_statistics(loss, rewards, *judged)
        candidates = batch[K.CANDIDATES]
        agreed = (candidates.amax(dim=1) == candidates.amin(dim=1)).unsqueeze(1).to(pred.dtype)
        best = winning_mask(candidates.flatten(2), batch[K.WINNERS], batch[K.REGIONS]).view_as(agreed)
        judged_pixels = (1 - agreed) * has_winner(batch[K.WINNERS], batch[K.REGIONS])
        nll = F.binary_cross_entropy_with_logits(pred[:, :1], best, reduction="none")
        nll = (judged_pixels * nll).sum() / judged_pixels.sum().clamp(min=1.0)
        others = 1 - judged_pixels
        drift = (others * bernoulli_kl(before[:, :1], pred[:, :1])).sum() / others.sum().clamp(min=1.0)
        det = (pred[:, 1:] - before[:, 1:]).square().mean()
        return {"preference": loss.loss_of(rewards), "nll": nll, "anchor": drift, "det": det}


def has_winner(winners: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
    """Which pixels lie in a region with a winner: (B,R) and (B,H,W) to (B,1,H,W) of 0 and 1."""
    winner = winners.gather(1, regions.flatten(1).clamp(min=0)).view_as(regions)
    return ((regions >= 0) & (winner >= 0)).unsqueeze(1).float()


def drop_clicks(image: torch.Tensor) -> torch.Tensor:
    """Drop a random subset of the clicks of prompted images (B,3,H,W); the share kept is uniform in [0,1] for each."""
    share = torch.rand(len(image), 1, 1, 1, device=image.device)
    keep = torch.rand_like(image[:, 1:]) < share
    return torch.cat((image[:, :1], image[:, 1:] * keep), dim=1)
