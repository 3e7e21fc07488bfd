"""The optimisation step that all stages share: a weighted sum of named losses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.utils.enums import CommonKeys


class PartsTrainer(SupervisedTrainer, ABC):
    """Ignite trainer whose loss is a weighted sum of named parts.

    A subclass says which parts there are by overriding :meth:`compute_losses`. After an iteration
    ``engine.state.output`` is ``[{"loss": {"loss": sum, "loss_<part>": part, ...}}]``: what
    ``from_engine(["loss"], first=True)``, MONAI's habit for loggers, turns into named curves.

    Args:
        loss_weights: weight of each part.
        max_grad_norm: gradients are scaled down to this norm, or None.
        kwargs: of :class:`monai.engines.SupervisedTrainer`.
    """

    def __init__(self, *, loss_weights: dict[str, float], max_grad_norm: float | None = None, **kwargs: Any) -> None:
        super().__init__(decollate=False, **kwargs)
        self.loss_weights = loss_weights
        self.max_grad_norm = max_grad_norm

    @abstractmethod
    def compute_losses(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        """The parts of the loss for a batch on the device; a part of every name in ``loss_weights``."""

    def to_device(self, batch: Any) -> Any:
        """Move a tensor or nested dictionaries of tensors to the engine's device."""
        if isinstance(batch, dict):
            return {k: self.to_device(v) for k, v in batch.items()}
        if isinstance(batch, torch.Tensor):
            return batch.to(self.state.device, non_blocking=self.non_blocking)
        return batch

    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> Any:
        engine.network.train()
        engine.optimizer.zero_grad(set_to_none=True)
        batch = engine.to_device(batchdata)
        with torch.autocast(engine.state.device.type, enabled=engine.amp, **engine.amp_kwargs):
            parts = engine.compute_losses(batch)
        engine.fire_event(IterationEvents.FORWARD_COMPLETED)
        loss = torch.stack([weight * parts[name] for name, weight in engine.loss_weights.items()]).sum()
        named = {"loss": loss.item(), **{f"loss_{name}": part.item() for name, part in parts.items()}}
        engine.state.output = [{CommonKeys.LOSS: named}]
        engine.fire_event(IterationEvents.LOSS_COMPLETED)
        engine.backward(loss)
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return engine.state.output

    def backward(self, loss: torch.Tensor) -> None:
        """Gradients of the loss and a step of the optimiser, with MONAI's gradient scaler where it is in use."""
        scaler = self.scaler if self.amp else None
        (loss if scaler is None else scaler.scale(loss)).backward()
        self.fire_event(IterationEvents.BACKWARD_COMPLETED)
        if self.max_grad_norm is not None:
            if scaler is not None:
                scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.max_grad_norm)
        if scaler is None:
            self.optimizer.step()
        else:
            scaler.step(self.optimizer)
            scaler.update()
