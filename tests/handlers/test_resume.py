import pytest
import torch
from ignite.engine import Engine, Events

from bundle.handlers import Resume


def run(folder, epochs, scale=None, resume=False):
    """A run whose trainer makes its gradient scaler when it starts, as MONAI's do; returns the scaler."""
    engine = Engine(lambda engine, batch: None)
    engine.state.max_epochs, engine.state.epoch_length, engine.scaler = epochs, 1, None
    if scale is not None:

        def start():
            engine.scaler = torch.amp.GradScaler("cpu", init_scale=scale)

        engine.add_event_handler(Events.STARTED, start)

        def halve():
            engine.scaler.update(engine.scaler.get_scale() / 2)

        engine.add_event_handler(Events.ITERATION_COMPLETED, halve)
        # A scaler knows its scale on the device from the first step on.
        engine.add_event_handler(Events.STARTED, lambda: engine.scaler.scale(torch.zeros(())))
    Resume(folder, {}, resume=resume).attach(engine)
    engine.run([0], max_epochs=epochs)
    return engine.scaler


def test_a_gradient_scaler_goes_on_where_it_was(tmp_path) -> None:
    assert run(tmp_path / "whole", 4, scale=1024.0).get_scale() == 64.0
    run(tmp_path / "parts", 2, scale=1024.0)
    assert run(tmp_path / "parts", 4, scale=1024.0, resume=True).get_scale() == 64.0


@pytest.mark.parametrize("scales", [(None, 1024.0), (1024.0, None)])
def test_a_run_may_go_on_with_a_scaler_or_without(tmp_path, scales) -> None:
    run(tmp_path, 1, scale=scales[0])
    scaler = run(tmp_path, 2, scale=scales[1], resume=True)
    assert scaler is None or scaler.get_scale() == 512.0
