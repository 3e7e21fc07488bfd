"""A training that diverges ends with an error that says where, before a handler of its end has run."""

import math

import pytest
import torch
from ignite.engine import Events
from torch import nn

from bundle.engines.parts_trainer import MAX_SKIPPED, PartsTrainer
from bundle.errors import DivergedError


class Toy(PartsTrainer):
    """Loss parts of one weight, by iteration: ``losses[i](weight)``."""

    def __init__(self, losses, weight=1.0, **changes):
        network = nn.Linear(1, 1, bias=False)
        nn.init.constant_(network.weight, weight)
        self.losses, self.saved = losses, []
        settings = {
            "device": "cpu",
            "max_epochs": 1,
            "epoch_length": len(losses),
            "train_data_loader": [{}] * len(losses),
            "network": network,
            "optimizer": torch.optim.SGD(network.parameters(), lr=0.5),
            "loss_function": None,
            "loss_weights": {"seg": 1.0, "det": 1.0},
        }
        super().__init__(**{**settings, **changes})
        for event in (Events.EPOCH_COMPLETED, Events.COMPLETED):
            self.add_event_handler(event, lambda: self.saved.append(network.weight.item()))

    def compute_losses(self, batch):
        return self.losses[self.state.iteration - 1](self.network.weight.sum())


def fine(weight):
    return {"seg": weight.square(), "det": 0 * weight}


def nan_loss(weight):
    return {"seg": weight.square(), "det": weight * math.nan}


def nan_gradient(weight):
    return {"seg": (0 * weight).sqrt(), "det": weight}  # a loss of 0, of infinite slope


def fails(engine):
    with pytest.raises(DivergedError) as error:
        engine.run()
    assert engine.saved == []
    assert "\n" not in str(error.value)
    return str(error.value)


def test_loss():
    text = fails(Toy([fine, nan_loss, fine]))
    assert "diverged in epoch 1, iteration 2, at a learning rate of 0.5: loss_det is nan." in text
    assert "lower learning_rate" in text
    assert "loss is inf" in fails(Toy([lambda w: {"seg": w * 3e38, "det": w * 3e38}]))


@pytest.mark.parametrize("losses", [[fine, nan_gradient, fine], [fine, nan_gradient]], ids=["next", "end of epoch"])
@pytest.mark.parametrize("limit", [1.0, None])
def test_gradient(losses, limit):
    assert "the norm of the gradients was nan" in fails(Toy(losses, max_grad_norm=limit))


@pytest.mark.parametrize("bad", [nan_loss, nan_gradient])
def test_weights_stay_those_of_the_last_good_step(bad):
    """Whoever catches the error still has a network."""
    engine, after = Toy([fine, bad, fine]), []
    engine.add_event_handler(Events.ITERATION_COMPLETED(once=1), lambda: after.append(engine.network.weight.item()))
    fails(engine)
    assert after == [0.0] and engine.network.weight.item() == 0.0


def test_the_values_of_a_step_are_read_once(monkeypatch):
    """Loss, parts and norm, four numbers; each reading would wait for a GPU."""
    read = []
    for name in ("tolist", "item", "__bool__", "__float__"):
        whole = getattr(torch.Tensor, name)
        monkeypatch.setattr(torch.Tensor, name, lambda self, whole=whole: read.append(self.numel()) or whole(self))
    engine = Toy([fine, fine, fine], max_grad_norm=1.0)
    monkeypatch.setattr(engine, "check_weights", lambda: None)
    for iteration in range(1, 4):
        engine.state.iteration, engine.state.epoch_length = iteration, 3
        engine._iteration(engine, {})
    assert read == [4, 4, 4]


@pytest.mark.parametrize(("rate", "value"), [(1e30, "-2e+30"), (1e9, "-2e+09"), (3e38, "-inf")])
def test_weight(rate, value):
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 1.0)
    optimizer = torch.optim.SGD(network.parameters(), lr=rate)
    assert f"the weight weight holds {value}" in fails(Toy([fine], network=network, optimizer=optimizer))


def use_scaler(engine, **settings):
    """In place of the one for CUDA that MONAI makes when the engine starts."""
    engine.add_event_handler(Events.STARTED, lambda: setattr(engine, "scaler", torch.amp.GradScaler("cpu", **settings)))


def test_one_step_that_the_scaler_skips_is_normal():
    engine = Toy([fine, nan_gradient, fine, nan_gradient, fine], amp=True, max_grad_norm=1.0)
    use_scaler(engine, init_scale=2.0)
    engine.run()
    assert len(engine.saved) == 2 and math.isfinite(engine.saved[0])


@pytest.mark.parametrize("limit", [1.0, None])
def test_many_steps_that_the_scaler_skips_are_not(limit):
    engine = Toy([fine] + [nan_gradient] * (MAX_SKIPPED + 2), amp=True, max_grad_norm=limit)
    use_scaler(engine)
    assert f"the norm of the gradients was nan in {MAX_SKIPPED + 1} steps one after the other" in fails(engine)


def test_a_scaler_that_is_off_skips_nothing():
    engine = Toy([nan_gradient, fine], amp=True)
    use_scaler(engine, enabled=False)
    assert "the norm of the gradients was nan" in fails(engine)


@pytest.mark.parametrize("limit", [0.0, -1.0, math.nan, math.inf])
def test_limits_that_are_none(limit):
    with pytest.raises(ValueError, match=r"max_grad_norm is .*, expected a finite number above 0, or null"):
        Toy([fine], max_grad_norm=limit)


def test_weights_of_parts_are_finite():
    with pytest.raises(ValueError, match="loss_weights#det is nan, expected a finite number"):
        Toy([fine], loss_weights={"seg": 1.0, "det": math.nan})


@pytest.mark.parametrize(
    ("amp", "dtype", "scaled"),
    [(False, torch.float16, False), (True, torch.float16, True), (True, torch.bfloat16, False), (True, None, False)],
)
def test_only_float16_is_scaled(amp, dtype, scaled):
    """The type that a CPU takes by itself is bfloat16."""
    engine = Toy([fine], amp=amp, amp_kwargs={} if dtype is None else {"dtype": dtype})
    engine.run()
    assert (engine.scaler is not None) == scaled
