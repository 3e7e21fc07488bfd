"""Measure how fast the bundle's parts are.

python scripts/benchmark.py decode --json runs/decode.json
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, which holds the package `bundle`

import torch
from monai.bundle import ConfigParser

from bundle.data.json_files import write_json
from bundle.networks import PromptableSegmenter

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ("configs/train.json", "configs/presets/cpu.json")
WARM_UP = 3


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; each subcommand sets ``measure``, which returns the results."""
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    commands = options.add_subparsers(dest="command", required=True)
    decode = commands.add_parser("decode", help="what prompts cost: PromptableSegmenter.decode with points and without")
    decode.add_argument("--json", type=Path, required=True, metavar="FILE", help="where to write the results")
    decode.add_argument("--points", type=_positive, default=32, help="points of an image")
    decode.add_argument("--batch", type=_positive, default=8, help="images at once")
    decode.add_argument("--size", type=_positive, default=128, help="side of an image in pixels")
    decode.add_argument("--repeats", type=_positive, default=30, help="measurements of each kind")
    decode.add_argument("--device", default="cpu", help="as torch names it")
    decode.add_argument("--threads", type=_positive, default=1, help="of the CPU; one is calmest beside other work")
    decode.set_defaults(measure=measure_decode)
    return options


def build_network(device: str) -> PromptableSegmenter:
    """Return the network of the configs, with random weights: they change no time."""
    config = ConfigParser()
    config.read_config([str(ROOT / name) for name in CONFIGS])
    return config.get_parsed_content("network_def").to(device).eval()


@torch.inference_mode()
def measure_decode(options: argparse.Namespace) -> dict[str, Any]:
    """Time the decoder with points and with none, in turn, on one encoded batch.

    Args:
        options: ``points``, ``batch``, ``size``, ``repeats``, ``device``, ``threads``.

    Returns:
        Medians ``points_ms`` and ``none_ms`` in milliseconds, their ``ratio``, and the settings.

    Raises:
        ValueError: when ``size`` is no multiple of the network's stride.
    """
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    network = build_network(options.device)
    if options.size % network.stride:
        raise ValueError(f"--size {options.size} must be a multiple of {network.stride}, the network's stride")
    encoded = network.encode(torch.randn(options.batch, 1, options.size, options.size, device=options.device))
    coords = torch.rand(options.batch, options.points, 2, device=options.device) * options.size
    labels = torch.randint(2, (options.batch, options.points), device=options.device)
    points_ms, none_ms = medians(
        lambda: network.decode(*encoded, coords, labels),
        lambda: network.decode(*encoded, coords[:, :0], labels[:, :0]),
        repeats=options.repeats,
        device=options.device,
    )
    settings = {name: getattr(options, name) for name in ("points", "batch", "size", "repeats", "device", "threads")}
    return {"points_ms": points_ms, "none_ms": none_ms, "ratio": points_ms / none_ms, **settings}


def medians(*actions: Callable[[], Any], repeats: int, device: str) -> list[float]:
    """Time actions in turn, so that whatever else the machine does meets them alike.

    Args:
        actions: what to time.
        repeats: measurements of each, after a few to warm up.
        device: what to wait for, since a GPU returns before it is done.

    Returns:
        The median of each action, in milliseconds.
    """
    times: list[list[float]] = [[] for _ in actions]
    for _ in range(WARM_UP + repeats):
        for action, measured in zip(actions, times, strict=True):
            measured.append(milliseconds(action, device))
    return [statistics.median(measured[WARM_UP:]) for measured in times]


def milliseconds(action: Callable[[], Any], device: str) -> float:
    """Return the time that one call takes, from an idle device to an idle device."""
    wait = torch.cuda.synchronize if torch.device(device).type == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    action()
    wait()
    return (time.perf_counter() - start) * 1000


def main(arguments: list[str] | None = None) -> int:
    """Run the program.

    Args:
        arguments: command line; default that of the process.

    Returns:
        Exit status: 0, or 2 when something given cannot be used.
    """
    options = parser().parse_args(arguments)
    try:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        results = options.measure(options)
        write_json(options.json, results)
    except (ValueError, OSError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    print(f"{options.command}: {', '.join(f'{name} {_short(value)}' for name, value in results.items())}")
    return 0


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def _short(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
