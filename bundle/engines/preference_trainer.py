"""Stage 2: local preference optimisation on judged regions (Prefer-DAS)."""

from __future__ import annotations

from typing import Any, cast

import torch

from bundle import keys as K
from bundle.batches import PreferenceBatch
from bundle.channels import clicks_of, em_of, logits_of
from bundle.engines.click_dropout import drop_clicks
from bundle.engines.parts_trainer import PartsTrainer
from bundle.losses.anchor import anchor_losses
from bundle.losses.none_of_these import none_of_these_loss
from bundle.losses.preference import PreferenceLoss
from bundle.losses.preference_statistics import preference_statistics
from bundle.networks.prompt_encoder import clicks_to_points, without_padding
from bundle.networks.promptable_segmenter import PromptableSegmenter


class PreferenceTrainer(PartsTrainer[PreferenceBatch]):
    """Preference learning with an anchor (Prefer-DAS, arXiv 2602.19423; the anchor is ours).

    ``train_data_loader`` yields a :class:`bundle.batches.PreferenceBatch`. Policy and reference are prompted with the
    same random subset of the clicks.

    Parts of the loss: ``preference``, ``none`` of :func:`bundle.losses.none_of_these_loss`, and ``nll``, ``anchor`` and
    ``det`` of :func:`bundle.losses.anchor_losses`.
    After an iteration ``state.preference`` is the result of :func:`bundle.losses.preference_statistics`.

    Args:
        reference: same architecture as ``network``, which is the policy; a handler copies it
            (:class:`bundle.handlers.ReferencePolicy`).
        kwargs: of :class:`PartsTrainer`; ``loss_function`` is a :class:`bundle.losses.PreferenceLoss`, or another form.
    """

    def __init__(self, *, reference: PromptableSegmenter, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reference = reference.requires_grad_(False).eval()

    def compute_losses(self, batch: PreferenceBatch) -> dict[str, torch.Tensor]:
        """Parts of the loss for a batch of judged crops."""
        image = drop_clicks(batch[K.IMAGE])
        with torch.no_grad():
            points = without_padding(*clicks_to_points(clicks_of(image), self.reference.max_points))
            reference = self.reference.decode(*self.reference.encode(em_of(image)), *points).float()
        policy = self.inferer(image, self.network).float()
        loss = cast(PreferenceLoss, self.loss_function)
        judged = (logits_of(policy), logits_of(reference), batch[K.CANDIDATES], batch[K.CHOSEN], batch[K.REGIONS])
        rewards = loss.rewards(*judged)
        self.state.preference = preference_statistics(loss, rewards, *judged)
        return {
            "preference": loss(*judged),
            "none": none_of_these_loss(*judged, beta=loss.beta),
            **anchor_losses(policy, reference, *judged[2:]),
        }
