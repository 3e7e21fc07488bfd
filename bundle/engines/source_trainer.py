"""Stage 0: supervised training on the source domain."""

from __future__ import annotations

from typing import Any

import torch

from bundle import keys as K
from bundle.engines.parts_trainer import PartsTrainer


class SourceTrainer(PartsTrainer):
    """Supervised training with random prompts (method stage 0).

    ``train_data_loader`` yields ``image`` (B,3,H,W) with clicks, ``label`` (B,1,H,W), ``density`` (B,1,H,W).
    ``loss_function(pred, label, density)`` returns the parts named ``seg`` and ``det``.
    """

    def compute_losses(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        """Parts ``seg`` and ``det``."""
        pred = self.inferer(batch[K.IMAGE], self.network)
        seg, det = self.loss_function(pred, batch[K.LABEL], batch[K.DENSITY])
        return {"seg": seg, "det": det}
