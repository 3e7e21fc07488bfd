"""Prompt-guided contrastive learning (PCL)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from bundle.errors import SettingError


class PromptContrastiveLoss(nn.Module):
    """InfoNCE on probe embeddings (Prompt-DAS, arXiv 2509.18973, prompt-guided contrastive learning).

    For an image with key k (mean of the positives, no gradient), negatives n_j (no gradient) and queries q_i,
    all of unit length: L = mean over i of -log( exp(q_i.k/t) / (exp(q_i.k/t) + sum over j of exp(q_i.n_j/t)) ).

    Args:
        temperature: t, 0.5 in the public code.

    Raises:
        SettingError: when ``temperature`` is not positive.
    """

    def __init__(self, temperature: float = 0.5) -> None:
        super().__init__()
        if temperature <= 0:
            raise SettingError(f"temperature must be positive, got {temperature}")
        self.temperature = temperature

    def forward(
        self,
        positives: torch.Tensor,
        is_positive: torch.Tensor,
        queries: torch.Tensor,
        negatives: torch.Tensor,
        usable: torch.Tensor,
    ) -> torch.Tensor:
        """Compute the loss.

        Args:
            positives: (B,P,D) embeddings at the points.
            is_positive: (B,P) bool, False for padding.
            queries: (B,Q,D) embeddings at pseudo foreground.
            negatives: (B,N,D) embeddings at pseudo background.
            usable: (B,) bool, images whose queries and negatives mean something.

        Returns:
            Scalar; 0 with a gradient of 0 when no image is usable.
        """
        present = is_positive.unsqueeze(-1).to(positives.dtype)
        key = (F.normalize(positives.detach(), dim=-1) * present).sum(1) / present.sum(1).clamp(min=1.0)
        key = F.normalize(key, dim=-1)
        queries = F.normalize(queries, dim=-1)
        negatives = F.normalize(negatives.detach(), dim=-1)
        to_key = torch.einsum("bqd,bd->bq", queries, key).unsqueeze(-1)
        to_negatives = torch.einsum("bqd,bnd->bqn", queries, negatives)
        # In bfloat16 the logarithm of hundreds of terms would be exact to 0.03 alone.
        logits = torch.cat((to_key, to_negatives), dim=-1).float() / self.temperature
        loss = (torch.logsumexp(logits, dim=-1) - logits[..., 0]).mean(dim=1)
        w = (usable & is_positive.any(dim=1)).to(loss.dtype)
        return (w * loss).sum() / w.sum().clamp(min=1.0)
