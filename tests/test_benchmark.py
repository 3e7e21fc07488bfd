import json
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import CacheDataset
from PIL import Image

from scripts import benchmark
from scripts.benchmarks import timing
from scripts.benchmarks.section_cache import held_bytes, write_sections
from tests.engines.steps import trainable, unchanged, weights

SMALL = ["--points", "4", "--batch", "1", "--size", "64", "--repeats", "2"]


@pytest.fixture(autouse=True)
def threads():
    """The program may set the threads of its process; here that is the process of all tests."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("command", "compared", "own"),
    [
        ("decode", ("points_ms", "none_ms"), {"points": 4}),
        ("click", ("full_ms", "click_ms"), {"points": 4}),
    ],
)
def test_results_and_their_settings(tmp_path, capsys, command, compared, own) -> None:
    """What is fast enough, `make bench` says: a busy machine would fail a test of it."""
    file = tmp_path / "new" / "results.json"
    line = [part for name, value in own.items() for part in (f"--{name}", str(value))]
    assert benchmark.main([command, "--json", str(file), *SMALL, *line]) in (0, 1)
    results = json.loads(file.read_text())
    settings = {**own, "batch": 1, "size": 64, "repeats": 2, "device": "cpu", "threads": 1}
    assert results.keys() == {*settings, *compared, "ratio"} and results.items() >= settings.items()
    assert results["ratio"] == pytest.approx(results[compared[0]] / results[compared[1]])
    assert f"ratio {results['ratio']:.3f}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "times", "status"),
    [
        ("decode", (1.4, 1.0), 0),
        ("decode", (1.6, 1.0), 1),
        ("steps", (1.24, 1.0), 0),
        ("steps", (1.36, 1.0), 1),
        ("click", (1.0, 3.0), 0),
        ("click", (1.0, 1.9), 1),
    ],
)
def test_what_is_too_slow_ends_with_a_failure(tmp_path, monkeypatch, capsys, command, times, status) -> None:
    monkeypatch.setattr(benchmark, "medians", lambda *_, **__: list(times))
    file = tmp_path / "results.json"
    assert benchmark.main([command, "--json", str(file), *SMALL]) == status
    assert ("expected" in capsys.readouterr().err) == bool(status)
    assert file.is_file()


def test_results_of_steps(tmp_path, capsys) -> None:
    file = tmp_path / "steps.json"
    assert benchmark.main(["steps", "--json", str(file), *SMALL]) in (0, 1)
    results = json.loads(file.read_text())
    for name in benchmark.STAGES:
        assert results[f"{name}_ratio"] == pytest.approx(results[f"{name}_ms"] / results[f"{name}_bare_ms"])
    assert {"points": 4, "regions": 64, "candidates": 8, "batch": 1, "size": 64}.items() <= results.items()


@pytest.mark.slow
def test_memory_of_a_section(tmp_path, capsys) -> None:
    """A byte a pixel of the image, and of labels, instances and density at most a fifth more."""
    file = tmp_path / "memory.json"
    status = benchmark.main(["memory", "--json", str(file), "--sections", "1", "--size", "1024", "--of", "400"])
    results = json.loads(file.read_text())
    pixels = 1024**2 / 1e6
    assert pixels < results["target_mb"] < 1.02 * pixels
    assert pixels < results["source_mb"] < 1.2 * pixels
    larger = [max(results[f"{name}_mb"], results[f"{name}_process_mb"]) for name in ("source", "target")]
    assert results["total_gb"] == pytest.approx(sum(larger) * 400 / 1e3)
    assert status == int(results["total_gb"] > 16)
    assert (results["sections"], results["size"], results["of"]) == (1, 1024, 400)


def test_all_that_a_cache_holds_is_counted() -> None:
    """Tensors too, as they are where no map is compact."""
    dataset = CacheDataset([torch.zeros(1, 300, 200), np.ones((100, 100))], progress=False)
    assert held_bytes(dataset) == pytest.approx(4 * 60_000 + 8 * 10_000, abs=2_000)


def test_sections_are_as_dense_as_the_tissue_they_are_made_of(tmp_path) -> None:
    folder = write_sections(tmp_path / "domain", 1, 600, 20.0)
    mask = np.asarray(Image.open(folder / "labels" / "0.png"))
    assert mask.shape == (600, 600) and 0.01 < (mask > 0).mean() < 0.3
    assert np.array_equal(mask[512:], mask[:88])
    assert len(np.unique(np.asarray(Image.open(folder / "images" / "0.png")))) > 64
    [points] = json.loads((folder / "points.json").read_text())["points"].values()
    assert points["points"] and all(mask[y, x] for x, y in points["points"])


def test_a_click_is_on_one_image(tmp_path, capsys) -> None:
    assert benchmark.main(["click", "--json", str(tmp_path / "click.json"), "--batch", "2"]) == 2
    assert "--batch 2: a click is on one image" in capsys.readouterr().err


SMALL_STEPS = ["steps", "--json", "x", "--batch", "2", "--size", "64", "--regions", "4", "--candidates", "3"]


@pytest.mark.parametrize("points", ["0", "4"])
@pytest.mark.parametrize("name", benchmark.STAGES)
def test_a_step_is_a_whole_one_and_its_bare_passes_none(name, points) -> None:
    """A step trains all that its loss concerns; bare passes give gradients to the same weights, and change none."""
    options = benchmark.parser().parse_args([*SMALL_STEPS, "--points", points])
    torch.manual_seed(0)
    batch, stage = benchmark.make_batches(options)[name], benchmark.STAGES[name]
    engine = benchmark.build_trainer(stage, "cpu")
    before = weights(engine.network)
    for _ in range(2):
        benchmark.step(engine, batch)
    of_clicks = () if points != "0" else ("label_embeddings", "dense_embeddings")
    unused = ("contrastive",) if name != "adapt" else of_clicks
    missed = unchanged(before, engine.network) & trainable(engine.network)
    assert not [n for n in missed if not any(part in n for part in (*unused, *of_clicks))]
    of_step = {n for n, p in engine.network.named_parameters() if p.grad is not None}
    asked = []
    others = [getattr(engine, other) for other in ("teacher", "reference") if hasattr(engine, other)]
    for other in others:
        other.mask_decoder.register_forward_hook(lambda *_: asked.append(torch.is_grad_enabled()))
    before, passes = weights(engine.network), stage.bare(engine, batch)
    asked.clear()
    passes()
    assert unchanged(before, engine.network) == set(before)
    assert {n for n, p in engine.network.named_parameters() if p.grad is not None} == of_step
    assert asked == {"source": [], "adapt": [False, False], "prefer": [False]}[name]


def test_actions_are_timed_in_turn(monkeypatch) -> None:
    order: list[str] = []
    clock = iter(range(10**6))
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock) / 1000)
    # The second action lets the clock tick six times more in each call.
    second = [lambda: order.append("b"), *[lambda: next(clock)] * 6]
    found = timing.medians(lambda: order.append("a"), lambda: [tick() for tick in second], repeats=4, device="cpu")
    assert order == ["a", "b"] * (timing.WARM_UP + 4)
    assert found == pytest.approx([1.0, 7.0])


def test_warm_up_does_not_count(monkeypatch) -> None:
    times = iter([900.0] * timing.WARM_UP + [1.0, 2.0, 300.0])
    monkeypatch.setattr(timing, "milliseconds", lambda action, device: next(times))
    assert timing.medians(lambda: None, repeats=3, device="cpu") == [2.0]


@pytest.mark.parametrize("command", ["decode", "steps"])
def test_size_that_does_not_fit(tmp_path, capsys, command) -> None:
    file = tmp_path / "decode.json"
    assert benchmark.main([command, "--json", str(file), *SMALL, "--size", "60"]) == 2
    assert "--size 60 must be a multiple of 8" in capsys.readouterr().err
    assert not file.exists()


def test_failed_run_keeps_the_results_of_before(tmp_path, monkeypatch) -> None:
    file = tmp_path / "decode.json"
    file.write_text('{"ratio": 1.0}')

    def interrupted(self: Path, target: Path) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", interrupted)
    assert benchmark.main(["decode", "--json", str(file), *SMALL]) == 2
    assert file.read_text() == '{"ratio": 1.0}'
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("arguments", [[], ["decode"], ["decode", "--json", "x.json", "--points", "0"]])
def test_command_line_that_does_not_do(arguments) -> None:
    with pytest.raises(SystemExit) as error:
        benchmark.main(arguments)
    assert error.value.code == 2
