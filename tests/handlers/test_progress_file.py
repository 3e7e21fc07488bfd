import json

import pytest
from ignite.engine import Engine, Events

from bundle.handlers.progress_file import ProgressFile


def run(path, losses, epochs, every=0.0, accuracy=None):
    """A training that has these losses; returns what the file said after each iteration."""
    waiting, found = iter(losses), []
    engine = Engine(lambda *_: [{"loss": {"loss": next(waiting)}}])
    if accuracy is not None:
        engine.add_event_handler(
            Events.EPOCH_COMPLETED, lambda e: e.state.metrics.update({"rewards/accuracies": accuracy})
        )
    ProgressFile(path, every).attach(engine)
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda _: found.append(json.loads(path.read_text())))
    engine.run(range(len(losses) // epochs), max_epochs=epochs)
    return found


def test_where_a_training_is(tmp_path):
    path = tmp_path / "new" / "progress.json"
    first, second, third, fourth = run(path, [4.0, 2.0, 1.0, 0.0], epochs=2)
    assert first == {"epoch": 1, "epochs": 2, "iteration": 1, "iterations": 2, "loss": 4.0, "history": []}
    assert (second["iteration"], second["loss"]) == (2, 2.0)
    assert (third["epoch"], third["iteration"], third["loss"]) == (2, 1, 1.0)
    assert fourth["history"] == [{"loss": 3.0, "accuracy": None}]
    assert json.loads(path.read_text())["history"] == [{"loss": 3.0, "accuracy": None}, {"loss": 0.5, "accuracy": None}]


def test_the_accuracy_of_an_epoch(tmp_path):
    path = tmp_path / "progress.json"
    run(path, [1.0], epochs=1, accuracy=0.75)
    assert json.loads(path.read_text())["history"] == [{"loss": 1.0, "accuracy": 0.75}]


def test_within_an_epoch_it_is_written_now_and_then_only(tmp_path):
    path = tmp_path / "progress.json"
    found = run(path, [3.0, 2.0, 1.0], epochs=1, every=1000.0)
    assert [said["iteration"] for said in found] == [0, 0, 0]
    after = json.loads(path.read_text())
    assert (after["iteration"], after["loss"]) == (3, 1.0)
    assert after["history"][0]["loss"] == pytest.approx(2.0)
