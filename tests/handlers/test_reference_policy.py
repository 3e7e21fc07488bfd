import pytest
import torch
from ignite.engine import Engine
from torch import nn

from bundle.handlers import ReferencePolicy


def run(handler: ReferencePolicy, epochs: int, start: int = 0) -> list[float]:
    """Let the policy grow by 1 in each epoch; the reference after each. ``start``: epochs of a run before."""
    policy, seen = handler.policy, []

    def step(engine: Engine, _batch: None) -> None:
        seen.append(handler.reference.weight.item())
        with torch.no_grad():
            policy.weight.add_(1)

    engine = Engine(step)
    if start:
        engine.load_state_dict({"iteration": start, "epoch_length": 1, "max_epochs": epochs})
    handler.attach(engine)
    engine.run([None], max_epochs=epochs)
    return seen


def pair(reference: float = 100.0, policy: float = 5.0) -> tuple[nn.Linear, nn.Linear]:
    networks = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    for network, value in zip(networks, (reference, policy), strict=True):
        nn.init.constant_(network.weight, value)
    return networks


def test_reference_is_the_policy_of_the_start() -> None:
    reference, policy = pair()
    assert run(ReferencePolicy(reference, policy), 3) == [5, 5, 5]
    assert reference.weight.data_ptr() != policy.weight.data_ptr()


def test_reference_may_follow_in_steps() -> None:
    assert run(ReferencePolicy(*pair(), refresh_every=2), 5) == [5, 5, 7, 7, 9]


def test_resumed_run_keeps_its_reference() -> None:
    assert run(ReferencePolicy(*pair()), 3, start=1) == [100, 100]


def test_wrapped_policy_is_looked_through() -> None:
    reference, policy = pair()
    assert ReferencePolicy(reference, nn.DataParallel(policy)).policy is policy


def test_refresh_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="refresh_every is a number of epochs, 0 for never, got -1"):
        ReferencePolicy(*pair(), refresh_every=-1)
