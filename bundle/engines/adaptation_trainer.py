"""Stage 1: self-training on the target domain with sparse points (Prompt-DAS)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import torch

from bundle import keys as K
from bundle.batches import AdaptationBatch
from bundle.channels import clicks_of, em_of, foreground_of, logits_of
from bundle.engines.click_dropout import drop_points
from bundle.engines.parts_trainer import PartsTrainer
from bundle.losses.contrastive import PromptContrastiveLoss
from bundle.networks.prompt_encoder import clicks_to_points, without_padding
from bundle.networks.promptable_segmenter import PromptableSegmenter
from bundle.self_training.exemplars import ExemplarBank
from bundle.self_training.mixing import RandMix
from bundle.self_training.pseudo_labels import GIVEN_RANK, PseudoLabeler, PseudoLabels


class AdaptationTrainer(PartsTrainer[AdaptationBatch]):
    """Mean-teacher adaptation with prompt-guided contrastive learning (Prompt-DAS, arXiv 2509.18973).

    ``train_data_loader`` yields a :class:`bundle.batches.AdaptationBatch`. No entry of its target is a label.

    Parts of the loss: ``source_seg``, ``source_det``, ``seg``, ``det``, ``pcl``. After an iteration
    ``state.pseudo_labels`` and ``state.given_clicks`` hold the targets of the student, for handlers to read.

    Args:
        teacher: same architecture as ``network``; a handler averages it (:class:`bundle.handlers.MeanTeacher`).
        pseudo_labeler: turns teacher predictions into weighted targets.
        exemplars: rejects predicted instances unlike any clicked one.
        contrastive_loss: PCL.
        mix: mixing of strong views.
        queries: probes at pseudo foreground for each image (paper: 256).
        negatives: probes at pseudo background for each image (paper: 512).
        bare_prob: probability in [0,1] that the student gets an image without prompts; else it gets a random subset of
            them (ours).
        kwargs: of :class:`PartsTrainer`.
    """

    def __init__(
        self,
        *,
        teacher: PromptableSegmenter,
        pseudo_labeler: PseudoLabeler,
        exemplars: ExemplarBank,
        contrastive_loss: PromptContrastiveLoss,
        mix: RandMix,
        queries: int = 256,
        negatives: int = 512,
        bare_prob: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.teacher = teacher.requires_grad_(False).eval()
        self.pseudo_labeler = pseudo_labeler
        self.exemplars = exemplars
        self.contrastive_loss = contrastive_loss
        self.mix = mix
        self.queries = queries
        self.negatives = negatives
        self.bare_prob = bare_prob

    def compute_losses(self, batch: AdaptationBatch) -> dict[str, torch.Tensor]:
        """Parts of the loss for a source and a target batch."""
        source, target = batch[K.SOURCE], batch[K.TARGET]
        pred = self.inferer(source[K.IMAGE], self.network)
        source_seg, source_det = self.loss_function(pred, source[K.LABEL], source[K.DENSITY])

        pseudo = self.teach(target[K.IMAGE], target[K.COMPLETE], target[K.INDEX])
        self.state.pseudo_labels, self.state.given_clicks = pseudo, clicks_of(target[K.IMAGE])
        image, pseudo = self.mixed_view(target[K.STRONG], pseudo)
        pred, probes = self.student(image, pseudo)
        seg, det = self.loss_function(pred, pseudo.mask, pseudo.density, pseudo.weight)
        pcl = self.contrastive_loss(*probes)
        return {"source_seg": source_seg, "source_det": source_det, "seg": seg, "det": det, "pcl": pcl}

    @torch.no_grad()
    def teach(self, image: torch.Tensor, complete: torch.Tensor, index: torch.Tensor) -> PseudoLabels:
        """Make pseudo labels of the weak view (B,3,H,W): the teacher estimates points, then is prompted with them."""
        teacher = self.teacher
        given = clicks_of(image)
        embedding, fine = teacher.encode(em_of(image))
        # The given clicks would raise the density where they are, and so hide what the teacher finds alone.
        nothing = clicks_to_points(torch.zeros_like(given), 0)
        found = teacher.decode(embedding, fine, *nothing)
        clicks = self.pseudo_labeler.estimate_clicks(found, given, complete, teacher.max_points)
        pred = teacher.decode(embedding, fine, *without_padding(*clicks_to_points(clicks, teacher.max_points)))
        doubtful = self.exemplars([embedding, *fine], logits_of(pred) > 0, foreground_of(given) > 0.5, index)
        pseudo: PseudoLabels = self.pseudo_labeler(pred, given, clicks, complete, doubtful)
        return pseudo

    def mixed_view(self, strong: torch.Tensor, pseudo: PseudoLabels) -> tuple[torch.Tensor, PseudoLabels]:
        """Mix the strong views and, at the same pixels, their targets.

        Two mixed images may have more clicks than the network takes; the ranks decide which it gets.

        Args:
            strong: (B,1,H,W).
            pseudo: of the weak views.

        Returns:
            Mixed views and pseudo labels; ``predicted`` is not mixed: nothing is trained with it.
        """
        paste = self.mix.paste_mask(pseudo.mask)
        image, mask, density, weight, clicks, ranks = self.mix(
            paste, strong, pseudo.mask, pseudo.density, pseudo.weight, pseudo.clicks, pseudo.ranks
        )
        return image, replace(pseudo, mask=mask, density=density, weight=weight, clicks=clicks, ranks=ranks)

    def student(
        self, image: torch.Tensor, pseudo: PseudoLabels
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]:
        """The student's prediction (B,2,H,W) with some of the clicks, and the arguments of the contrastive loss."""
        student = cast(PromptableSegmenter, getattr(self.network, "module", self.network))
        coords, labels = without_padding(*clicks_to_points(pseudo.clicks, student.max_points, pseudo.ranks))
        positive = contrast_key_points(coords, labels, pseudo.ranks)
        believed = pseudo.weight > 0  # ignored pixels are no probes
        foreground, background = believed & (pseudo.mask > 0.5), believed & (pseudo.mask < 0.5)
        probe_coords = torch.cat(
            (coords, sample_positions(foreground, self.queries), sample_positions(background, self.negatives)), dim=1
        )
        embedding, fine = student.encode(image)
        pred, probes = student.decode_with_probes(
            embedding, fine, coords, drop_points(labels, self.bare_prob), probe_coords
        )
        at_points, queries, negatives = probes.split([coords.shape[1], self.queries, self.negatives], dim=1)
        usable = foreground.flatten(1).any(dim=1) & background.flatten(1).any(dim=1)
        return pred, (at_points, positive, queries, negatives, usable)


def contrast_key_points(coords: torch.Tensor, labels: torch.Tensor, ranks: torch.Tensor) -> torch.Tensor:
    """Choose the points whose embeddings make the key of PCL: the given ones, or, in images without, the estimated.

    Args:
        coords: (B,N,2) pixel centres.
        labels: (B,N) 1 foreground, 0 background, -1 padding.
        ranks: (B,2,H,W) of the clicks, 1 for given ones.

    Returns:
        (B,N) bool.
    """
    foreground = labels == 1
    x, y = coords.long().unbind(-1)
    at = x * ranks.shape[3] + y
    given = foreground & (foreground_of(ranks).flatten(1).gather(1, at) == GIVEN_RANK)
    return torch.where(given.any(dim=1, keepdim=True), given, foreground)


def sample_positions(region: torch.Tensor, count: int) -> torch.Tensor:
    """Draw pixels of a region with replacement.

    Args:
        region: (B,1,H,W) bool; an empty one is drawn from everywhere.
        count: n.

    Returns:
        (B,n,2) pixel centres.
    """
    width = region.shape[3]
    chance = region.flatten(1).float()
    chance = torch.where(chance.any(dim=1, keepdim=True), chance, torch.ones_like(chance))
    index = torch.multinomial(chance, count, replacement=True)
    return torch.stack((index // width, index % width), dim=-1) + 0.5
