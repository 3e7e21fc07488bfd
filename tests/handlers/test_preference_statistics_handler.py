import pytest
from ignite.engine import Engine, Events

from bundle.handlers import PreferenceStatistics


def run(epochs: list[list[dict[str, tuple[float, float]]]]) -> list[dict[str, float]]:
    """The metrics after each epoch of given sums and counts."""

    def step(engine: Engine, _batch: None) -> None:
        batches = epochs[engine.state.epoch - 1]
        engine.state.preference = batches[(engine.state.iteration - 1) % len(batches)]

    engine, metrics = Engine(step), []
    PreferenceStatistics().attach(engine)
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: metrics.append(dict(engine.state.metrics)))
    engine.run([None] * len(epochs[0]), max_epochs=len(epochs))
    return metrics


def test_average_is_over_regions_and_not_over_batches() -> None:
    (metrics,) = run([[{"rewards/margins": (6.0, 3), "kl": (1.0, 2)}, {"rewards/margins": (2.0, 1), "kl": (1.0, 6)}]])
    assert metrics == pytest.approx({"rewards/margins": 2.0, "kl": 0.25})


def test_an_epoch_forgets_the_last() -> None:
    first, second = run([[{"rewards/margins": (6.0, 3)}], [{"rewards/margins": (1.0, 2)}]])
    assert (first, second) == ({"rewards/margins": 2.0}, {"rewards/margins": 0.5})


def test_batches_without_judgements_do_not_divide_by_nothing() -> None:
    (metrics,) = run([[{"rewards/margins": (0.0, 0), "regions/judged": (0.0, 4)}]])
    assert metrics == {"regions/judged": 0.0}
