import pytest
import torch
from ignite.engine import Engine, Events

from bundle.handlers import PseudoLabelQuality
from bundle.self_training import PseudoLabels


def pseudo_labels(believed: int, foreground: int, predicted: list[tuple[int, int]], clicks: torch.Tensor):
    """Of 20 pixels of one image, so many with weight and so many foreground."""
    flat = torch.arange(20).view(1, 1, 4, 5)
    own = torch.zeros(1, 1, 4, 5)
    for x, y in predicted:
        own[0, 0, x, y] = 1
    mask = (flat < foreground).float()
    return PseudoLabels(mask, mask, (flat < believed).float(), clicks, torch.ones_like(clicks), own)


def click(*points: tuple[int, int], background: tuple[tuple[int, int], ...] = ()) -> torch.Tensor:
    out = torch.zeros(1, 2, 4, 5)
    for channel, spots in enumerate((points, background)):
        for x, y in spots:
            out[0, channel, x, y] = 1
    return out


def run(epochs: list[list[tuple[PseudoLabels, torch.Tensor]]]) -> list[dict[str, float]]:
    """The metrics after each epoch of given (pseudo labels, given clicks)."""

    def step(engine: Engine, _batch: None) -> None:
        batches = epochs[engine.state.epoch - 1]
        place = (engine.state.iteration - 1) % len(batches)
        engine.state.pseudo_labels, engine.state.given_clicks = batches[place]

    engine, metrics = Engine(step), []
    PseudoLabelQuality().attach(engine)
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: metrics.append(dict(engine.state.metrics)))
    engine.run([None] * len(epochs[0]), max_epochs=len(epochs))
    return metrics


def test_averages_by_hand() -> None:
    # Three clicks by a person, one of them background; the teacher saw one of the two foreground ones.
    given = click((0, 0), (3, 4), background=((2, 2),))
    first = pseudo_labels(10, 4, [(3, 4), (2, 2), (1, 1)], click((0, 0), (3, 4), (1, 1), background=((2, 2),)))
    second = pseudo_labels(20, 6, [(1, 0), (0, 3)], click((1, 0), (0, 3), (2, 3), (3, 3)))
    (metrics,) = run([[(first, given), (second, click((1, 0)))]])
    assert metrics == pytest.approx(
        {
            "pseudo/believed": (10 / 20 + 20 / 20) / 2,
            "pseudo/foreground": (4 / 20 + 6 / 20) / 2,
            "pseudo/estimated_points": (1 + 3) / 2,
            "pseudo/clicks_found": (1 + 1) / (2 + 1),
        }
    )


def test_an_epoch_forgets_the_last() -> None:
    one = (pseudo_labels(20, 20, [(0, 0)], click((0, 0))), click((0, 0)))
    other = (pseudo_labels(5, 0, [], click((0, 0), (1, 1))), click((0, 0)))
    first, second = run([[one], [other]])
    assert first == {
        "pseudo/believed": 1,
        "pseudo/foreground": 1,
        "pseudo/estimated_points": 0,
        "pseudo/clicks_found": 1,
    }
    assert second == {
        "pseudo/believed": 0.25,
        "pseudo/foreground": 0,
        "pseudo/estimated_points": 1,
        "pseudo/clicks_found": 0,
    }


def test_recall_is_absent_without_clicks() -> None:
    (metrics,) = run([[(pseudo_labels(5, 5, [(0, 0)], click((1, 1))), click())]])
    assert "pseudo/clicks_found" not in metrics
    assert metrics["pseudo/estimated_points"] == 1
