from ignite.engine import Engine, Events

from bundle.handlers.epoch_averages import EpochAverages


class Counted(EpochAverages):
    """Averages what the step left: for each name a sum and a count."""

    def sums_of(self, state):
        return state.output


def run(batches, epochs=1):
    """The metrics after each epoch."""
    engine = Engine(lambda _, batch: batch)
    Counted().attach(engine)
    found = []
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda e: found.append(dict(e.state.metrics)))
    engine.run(batches, max_epochs=epochs, epoch_length=len(batches) // epochs)
    return found


def test_the_average_is_weighted_by_the_counts():
    assert run([{"a": (3.0, 1)}, {"a": (1.0, 3)}]) == [{"a": 1.0}]


def test_each_epoch_is_averaged_by_itself():
    assert run([{"a": (4.0, 1)}, {"a": (2.0, 1)}], epochs=2) == [{"a": 4.0}, {"a": 2.0}]


def test_what_was_never_counted_is_left_out():
    assert run([{"a": (0.0, 0), "b": (0.0, 2)}]) == [{"b": 0.0}]
