"""Stage 0: supervised training on the source domain."""

from __future__ import annotations

import torch

from bundle import keys as K
from bundle.batches import SourceBatch
from bundle.engines.parts_trainer import PartsTrainer


class SourceTrainer(PartsTrainer[SourceBatch]):
    """Supervised training with random prompts (method stage 0).

    ``train_data_loader`` yields a :class:`bundle.batches.SourceBatch`.
    ``loss_function(pred, label, density)`` returns the parts named ``seg`` and ``det``.
    """

    def compute_losses(self, batch: SourceBatch) -> dict[str, torch.Tensor]:
        """Parts ``seg`` and ``det``."""
        pred = self.inferer(batch[K.IMAGE], self.network)
        seg, det = self.loss_function(pred, batch[K.LABEL], batch[K.DENSITY])
        return {"seg": seg, "det": det}
