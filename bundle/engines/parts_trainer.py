"""The optimisation step that all stages share: a weighted sum of named losses."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, TypeVar, cast

import torch
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.engines.workflow import Workflow
from monai.utils.enums import CommonKeys

from bundle.errors import DivergedError, SettingError
from bundle.state_files import LARGEST_WEIGHT, first_spoilt

MAX_SKIPPED = 32
"""Steps in a row that a gradient scaler may skip. It starts at 2**16 and halves each time, so after this many steps the
scale is not the cause."""


Batch = TypeVar("Batch", bound=Mapping[str, object])
"""One of :mod:`bundle.batches`."""


class PartsTrainer(SupervisedTrainer, ABC, Generic[Batch]):
    """Ignite trainer whose loss is a weighted sum of named parts.

    A subclass overrides :meth:`compute_losses`, which names the parts. After an iteration ``engine.state.output`` is
    ``[{"loss": {"loss": sum, "loss_<part>": part, ...}}]``: ``from_engine(["loss"], first=True)``, as MONAI's loggers
    use it, turns this into named curves.

    A training that diverges ends with an error before anything of it is saved. Losses and the norm of the gradients are
    read together in each iteration, before its step, so that a GPU waits once and the weights stay those of the last
    good step; the weights are checked at the end of each epoch.

    With ``amp`` in float16 the gradients are scaled, or small ones would vanish. An infinite gradient is then normal:
    the scaler skips the step. Other types, such as bfloat16, need no scaler and get none.

    Args:
        loss_weights: weight of each part.
        max_grad_norm: gradients are scaled down to this norm, or None.
        kwargs: of :class:`monai.engines.SupervisedTrainer`.

    Raises:
        SettingError: a weight of a part is not finite, or ``max_grad_norm`` not above 0.
        DivergedError: when run: a loss, a gradient or a weight is not finite.
    """

    def __init__(self, *, loss_weights: dict[str, float], max_grad_norm: float | None = None, **kwargs: Any) -> None:
        for name, weight in loss_weights.items():
            if not math.isfinite(weight):
                raise SettingError(f"loss_weights#{name} is {weight}, expected a finite number")
        if max_grad_norm is not None and not 0 < max_grad_norm < math.inf:
            raise SettingError(f"max_grad_norm is {max_grad_norm}, expected a finite number above 0, or null")
        super().__init__(decollate=False, **kwargs)
        self.loss_weights = loss_weights
        self.max_grad_norm = max_grad_norm
        self.skipped = 0
        self.scaler: torch.cuda.amp.GradScaler | None = None

    def run(self) -> None:  # type: ignore[override]  # as MONAI's trainers do
        """Run to the end of the last epoch."""
        device = self.state.device.type
        dtype = self.amp_kwargs.get("dtype", torch.get_autocast_dtype(device))
        scaler = torch.amp.GradScaler(device) if self.amp and dtype == torch.float16 else None
        self.scaler = cast("torch.cuda.amp.GradScaler | None", scaler)  # MONAI's type, of which this is the parent
        Workflow.run(self)  # MONAI's trainers put a scaler for CUDA here, of whatever type

    @abstractmethod
    def compute_losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the parts of the loss of a batch on the device, one for every name in ``loss_weights``."""

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
        engine.fire_event(IterationEvents.LOSS_COMPLETED)
        norm = engine.backward(loss)
        # Read together: each reading waits for all that the device has still to do.
        *values, norm = torch.stack([value.detach().float() for value in (loss, *parts.values(), norm)]).tolist()
        named = dict(zip(("loss", *(f"loss_{name}" for name in parts)), values, strict=True))
        engine.check_losses(named)
        engine.check_gradients(norm)
        engine.update_weights()
        engine.state.output = [{CommonKeys.LOSS: named}]
        if engine.state.iteration % engine.state.epoch_length == 0:
            engine.check_weights()
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return engine.state.output

    def backward(self, loss: torch.Tensor) -> torch.Tensor:
        """Make the gradients of the loss, and bound them.

        Returns:
            Scalar: the norm of the gradients before it was bounded.
        """
        scaler = self.scaler
        (loss if scaler is None else scaler.scale(loss)).backward()
        self.fire_event(IterationEvents.BACKWARD_COMPLETED)
        if scaler is not None:
            scaler.unscale_(self.optimizer)
        if self.max_grad_norm is not None:
            norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.max_grad_norm)
        else:
            gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
            norm = torch.nn.utils.get_total_norm(gradients)
        return norm

    def update_weights(self) -> None:
        """Make a step of the optimiser, which a gradient scaler skips where a gradient is infinite."""
        scaler = self.scaler
        if scaler is None:
            self.optimizer.step()
        else:
            scaler.step(self.optimizer)
            scaler.update()

    def check_losses(self, named: dict[str, float]) -> None:
        """Raise DivergedError if a part of the loss, or their sum, is not finite."""
        for name, value in reversed(named.items()):
            if not math.isfinite(value):
                raise self._diverged(f"{name} is {value}")

    def check_gradients(self, norm: float) -> None:
        """Raise DivergedError if the gradient of the step was not finite, and no gradient scaler skipped it."""
        self.skipped = 0 if math.isfinite(norm) else self.skipped + 1
        scaled = self.scaler is not None and self.scaler.is_enabled()
        if self.skipped > (MAX_SKIPPED if scaled else 0):
            steps = f" in {self.skipped} steps one after the other" if scaled else ""
            raise self._diverged(f"the norm of the gradients was {norm}{steps}")

    def check_weights(self) -> None:
        """Raise DivergedError if a weight of the network is not finite, or larger than one that can be used."""
        spoilt = first_spoilt(self.network.state_dict(), LARGEST_WEIGHT)
        if spoilt:
            raise self._diverged(f"the weight {spoilt}")

    def _diverged(self, what: str) -> DivergedError:
        rate = self.optimizer.param_groups[0]["lr"]
        return DivergedError(
            f"the training diverged in epoch {self.state.epoch}, iteration {self.state.iteration}, at a learning rate "
            f"of {rate:g}: {what}. Nothing of this epoch was saved; lower learning_rate"
        )
