import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from bundle.handlers import PreferenceGuard


def run(epochs: list[tuple[float | None, float]], max_anchor: float = 0.1) -> tuple[float, list[str]]:
    """Train on epochs of (accuracy, anchor loss), adding 1 to a weight of 0 in each.

    Returns:
        The weight at the end, and which events fired.
    """
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)

    def step(engine: Engine, _batch: None) -> None:
        # Two steps an epoch: what counts is their mean.
        anchor = epochs[engine.state.epoch - 1][1] * (0.5 if engine.state.iteration % 2 else 1.5)
        with torch.no_grad():
            network.weight.add_(0.5)
        return [{"loss": {"loss": 1.0, "loss_anchor": anchor}}]

    def tell(engine: Engine) -> None:
        accuracy = epochs[engine.state.epoch - 1][0]
        if accuracy is not None:
            engine.state.metrics["rewards/accuracies"] = accuracy

    engine, events = Engine(step), []
    engine.add_event_handler(Events.EPOCH_COMPLETED, tell)
    PreferenceGuard({"policy": network}, max_anchor).attach(engine)
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: events.append(f"epoch {engine.state.epoch}"))
    engine.add_event_handler(Events.COMPLETED, lambda: events.append(f"completed with {network.weight.item():g}"))
    engine.run([None] * 2, max_epochs=len(epochs))
    return network.weight.item(), events


def test_collapse_ends_the_run_with_the_weights_of_the_last_good_epoch() -> None:
    weight, events = run([(0.6, 0.01), (0.7, 0.02), (0.9, 0.3), (0.9, 0.3)])
    assert weight == 2
    # What saves the weights does so on COMPLETED.
    assert events == ["epoch 1", "epoch 2", "epoch 3", "completed with 2"]


def test_collapse_in_the_first_epoch_brings_back_the_start() -> None:
    assert run([(0.9, 0.3), (0.9, 0.01)])[0] == 0


@pytest.mark.parametrize("bad", [(0.9, float("nan")), (float("nan"), 0.3), (float("nan"), float("nan"))])
def test_what_is_no_number_is_bad(bad) -> None:
    assert run([(0.6, 0.01), bad, (0.7, 0.01)])[0] == 1
    assert run([bad, (0.7, 0.01)])[0] == 0


def test_the_stop_is_told_in_one_line(caplog) -> None:
    run([(0.6, 0.01), (0.9, 0.3)])
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "stopped after epoch 2: preference accuracy is 0.90" in line
    assert "anchor 0.300, above 0.1" in line and "\n" not in line


@pytest.mark.parametrize(
    "epochs",
    [
        [(0.6, 0.01), (0.9, 0.09), (1.0, 0.1)],
        [(0.6, 0.01), (0.5, 0.3), (0.4, 0.5)],
        [(None, 0.3), (None, 0.3), (None, 0.3)],
    ],
    ids=["small anchor", "falling accuracy", "nothing judged"],
)
def test_no_other_run_is_stopped(epochs) -> None:
    weight, events = run(epochs)
    assert weight == 3
    assert events[-2:] == ["epoch 3", "completed with 3"]


def test_an_epoch_that_left_the_reference_is_not_kept() -> None:
    """The second epoch goes on, for its accuracy fell, but the third falls back to the first."""
    assert run([(0.6, 0.01), (0.5, 0.3), (0.7, 0.3)])[0] == 1


def test_all_networks_are_brought_back() -> None:
    policy, teacher = nn.Linear(1, 1), nn.Linear(1, 1)
    before = [network.weight.item() for network in (policy, teacher)]
    guard, engine = PreferenceGuard({"policy": policy, "teacher": teacher}), Engine(lambda *_: None)
    engine.state.metrics["rewards/accuracies"] = 0.9
    guard.reset(engine)
    for network in (policy, teacher):
        nn.init.zeros_(network.weight)
    guard.total, guard.count = 1.0, 1
    guard.check(engine)
    assert [network.weight.item() for network in (policy, teacher)] == before


def test_a_resumed_run_knows_how_accurate_the_first_epoch_was() -> None:
    first, second = (PreferenceGuard({"policy": nn.Linear(1, 1)}) for _ in range(2))
    first.first_accuracy = 0.6
    second.load_state_dict(first.state_dict())
    assert second.first_accuracy == 0.6


def test_limit_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="max_anchor must be above 0, got 0"):
        PreferenceGuard({"policy": nn.Linear(1, 1)}, 0)
