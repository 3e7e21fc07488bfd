import copy
import json
from pathlib import Path

import pytest
import torch

from scripts import benchmark
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
        ("preference_step", ("preference_ms", "supervised_ms"), {"points": 4, "regions": 5, "candidates": 3}),
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
        ("preference_step", (2.4, 1.0), 0),
        ("preference_step", (2.6, 1.0), 1),
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


def test_a_click_is_on_one_image(tmp_path, capsys) -> None:
    assert benchmark.main(["click", "--json", str(tmp_path / "click.json"), "--batch", "2"]) == 2
    assert "--batch 2: a click is on one image" in capsys.readouterr().err


def test_a_step_of_either_stage_is_a_whole_one() -> None:
    """All that the parts of its loss concern is trained, and the reference is asked each time."""
    options = benchmark.parser().parse_args(
        ["preference_step", "--json", "x", "--batch", "2", "--size", "32", "--regions", "4", "--candidates", "3"]
    )
    torch.manual_seed(0)
    batch = benchmark.random_batch(options)
    policy = benchmark.build_network("cpu", 32)
    reference = copy.deepcopy(policy)
    asked = []
    reference.register_forward_hook(lambda *_: asked.append(True))
    preference = benchmark.build_trainer(
        benchmark.PreferenceTrainer, policy, "configs/prefer.json", reference=reference
    )
    supervised = benchmark.build_trainer(benchmark.SourceTrainer, copy.deepcopy(policy), "configs/source.json")
    for engine in (preference, supervised):
        before = weights(engine.network)
        for _ in range(2):
            benchmark.train(engine, batch)
        assert not [n for n in unchanged(before, engine.network) & trainable(engine.network) if "contrastive" not in n]
    assert len(asked) == 2
    assert preference.state.preference["regions/judged"] == (8, 2)


def test_actions_are_timed_in_turn(monkeypatch) -> None:
    order: list[str] = []
    clock = iter(range(10**6))
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: next(clock) / 1000)
    # The second action lets the clock tick six times more in each call.
    second = [lambda: order.append("b"), *[lambda: next(clock)] * 6]
    found = benchmark.medians(lambda: order.append("a"), lambda: [tick() for tick in second], repeats=4, device="cpu")
    assert order == ["a", "b"] * (benchmark.WARM_UP + 4)
    assert found == pytest.approx([1.0, 7.0])


def test_warm_up_does_not_count(monkeypatch) -> None:
    times = iter([900.0] * benchmark.WARM_UP + [1.0, 2.0, 300.0])
    monkeypatch.setattr(benchmark, "milliseconds", lambda action, device: next(times))
    assert benchmark.medians(lambda: None, repeats=3, device="cpu") == [2.0]


@pytest.mark.parametrize("command", ["decode", "preference_step"])
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
