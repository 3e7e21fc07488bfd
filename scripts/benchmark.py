"""Measure how fast the bundle's parts are, what its data take of the memory, and how good its masks are.

python -m scripts.benchmark decode --json runs/decode.json
python -m scripts.benchmark steps --json runs/steps.json
python -m scripts.benchmark click --json runs/click.json
python -m scripts.benchmark memory --json runs/memory.json
python -m scripts.benchmark quality --json runs/quality.json --pairs vnc:lucchi-pp lucchi-pp:vnc -- --data scans
"""

import argparse
import math
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from bundle.atomic import make_folder
from bundle.errors import MendableError, SettingError
from bundle.inferers import ClickSession
from bundle.json_files import write_json
from bundle.networks import PromptableSegmenter
from scripts.benchmarks.configs import ROOT, read_config
from scripts.benchmarks.quality import add_quality
from scripts.benchmarks.section_cache import build_cache, held_bytes, resident_bytes, write_sections
from scripts.benchmarks.timing import medians
from scripts.benchmarks.training_steps import PIXEL_SIZE, STAGES, build_trainer, make_batches, step

ACCEPTED_STEPS = {"source_ratio": (0.0, 1.25), "adapt_ratio": (0.0, 1.35), "prefer_ratio": (0.0, 1.25)}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line.

    Each subcommand sets ``measure``, which returns the results, and ``accepted``, the range of each ratio.
    """
    options = argparse.ArgumentParser(prog="python -m scripts.benchmark", description=(__doc__ or "").split("\n")[0])
    commands = options.add_subparsers(dest="command", required=True)
    decode = commands.add_parser("decode", help="what prompts cost: PromptableSegmenter.decode with points and without")
    decode.add_argument("--points", type=_positive, default=32, help="points of an image")
    _add_common(decode, repeats=30)
    decode.set_defaults(measure=measure_decode, accepted={"ratio": (0.0, 1.5)})
    steps = commands.add_parser("steps", help="what a training step costs: one of each stage, and its bare passes")
    steps.add_argument("--regions", type=_positive, default=64, help="judged regions of an image")
    steps.add_argument("--candidates", type=_positive, default=8, help="masks to choose from")
    steps.add_argument("--points", type=_not_negative, default=8, help="points of an image, or 0")
    _add_common(steps, repeats=20, batch=6)
    steps.set_defaults(measure=measure_steps, accepted=ACCEPTED_STEPS)
    click = commands.add_parser("click", help="what a click costs: the mask after one more, and a full inference")
    click.add_argument("--points", type=_positive, default=20, help="points that were there before")
    _add_common(click, repeats=10, batch=1, size=1024)
    click.set_defaults(measure=measure_click, accepted={"ratio": (2.0, math.inf)})
    memory = commands.add_parser("memory", help="what sections take of the memory while both domains are cached")
    memory.add_argument("--json", type=Path, required=True, metavar="FILE", help="where to write the results")
    memory.add_argument("--sections", type=_positive, default=3, help="sections to cache, of each domain")
    memory.add_argument("--size", type=_positive, default=4096, help="side of a section in pixels")
    memory.add_argument("--of", type=_positive, default=400, help="sections of each domain to say the memory of")
    memory.set_defaults(measure=measure_memory, accepted={"total_gb": (0.0, 16.0)})
    add_quality(commands)
    return options


def _add_common(command: argparse.ArgumentParser, repeats: int, batch: int = 8, size: int = 128) -> None:
    command.add_argument("--json", type=Path, required=True, metavar="FILE", help="where to write the results")
    command.add_argument("--batch", type=_positive, default=batch, help="images at once")
    command.add_argument("--size", type=_positive, default=size, help="side of an image in pixels")
    command.add_argument("--repeats", type=_positive, default=repeats, help="measurements of each kind")
    command.add_argument("--device", default="cpu", help="as torch names it")
    command.add_argument("--threads", type=_positive, default=1, help="of the CPU; one is calmest beside other work")


def build_network(device: str, size: int) -> PromptableSegmenter:
    """Return the network of the configs for images of a size, with random weights: they change no time.

    Raises:
        SettingError: when ``size`` is no multiple of the network's stride.
    """
    network: PromptableSegmenter = read_config().get_parsed_content("network_def").to(device).eval()
    if size % network.stride:
        raise SettingError(f"--size {size} must be a multiple of {network.stride}, the network's stride")
    return network


@torch.inference_mode()
def measure_decode(options: argparse.Namespace) -> dict[str, Any]:
    """Time the decoder with points and with none, in turn, on one encoded batch.

    Args:
        options: ``points``, ``batch``, ``size``, ``repeats``, ``device``, ``threads``.

    Returns:
        Medians ``points_ms`` and ``none_ms`` in milliseconds, their ``ratio``, and the settings.

    Raises:
        SettingError: when ``size`` is no multiple of the network's stride.
    """
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    network = build_network(options.device, options.size)
    encoded = network.encode(torch.randn(options.batch, 1, options.size, options.size, device=options.device))
    coords = torch.rand(options.batch, options.points, 2, device=options.device) * options.size
    labels = torch.randint(2, (options.batch, options.points), device=options.device)
    points_ms, none_ms = medians(
        lambda: network.decode(*encoded, coords, labels),
        lambda: network.decode(*encoded, coords[:, :0], labels[:, :0]),
        repeats=options.repeats,
        device=options.device,
    )
    return {"points_ms": points_ms, "none_ms": none_ms, "ratio": points_ms / none_ms, **settings_of(options)}


def measure_steps(options: argparse.Namespace) -> dict[str, Any]:
    """Time a step of each stage, and the passes of the networks that it cannot do without, in turn.

    A step is all that its trainer and the handlers do for a batch that lies there: forward, targets, losses, backward,
    optimiser, the checks, statistics, the averaged teacher. Its bare passes are the forward passes that the stage
    needs, those of the teacher or the reference without gradient, on the same images, and a backward pass from the sum
    of what the trained network gives. Prompts are as many slots as the image with the most points has. So the ratio
    holds all that is ours to make faster: pseudo labels, losses, statistics, empty slots, the optimiser.

    Args:
        options: ``points``, ``regions``, ``candidates``, ``batch``, ``size``, ``repeats``, ``device``, ``threads``.

    Returns:
        For each stage, ``source``, ``adapt`` and ``prefer``, the medians ``<stage>_ms`` and ``<stage>_bare_ms`` in
        milliseconds and ``<stage>_ratio``; and the settings.

    Raises:
        SettingError: when ``size`` is no multiple of the network's stride.
    """
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    build_network(options.device, options.size)
    results: dict[str, Any] = {}
    for (name, stage), batch in zip(STAGES.items(), make_batches(options).values(), strict=True):
        trainer = build_trainer(stage, options.device)
        step(trainer, batch)
        step_ms, bare_ms = medians(
            partial(step, trainer, batch),
            stage.bare(trainer, batch),
            repeats=options.repeats,
            device=options.device,
        )
        results |= {f"{name}_ms": step_ms, f"{name}_bare_ms": bare_ms, f"{name}_ratio": step_ms / bare_ms}
    return results | settings_of(options)


@torch.inference_mode()
def measure_click(options: argparse.Namespace) -> dict[str, Any]:
    """Time a click somewhere in an open image until the mask is there, and the full inference of that image, in turn.

    Args:
        options: ``points``, ``size``, ``repeats``, ``device``, ``threads``; ``batch`` must be 1.

    Returns:
        Medians ``click_ms`` and ``full_ms`` in milliseconds, ``ratio``, how many clicks could be answered in the time
        of a full inference, and the settings.

    Raises:
        SettingError: when ``size`` is no multiple of the network's stride, or ``batch`` is not 1.
    """
    if options.batch != 1:
        raise SettingError(f"--batch {options.batch}: a click is on one image")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    network = build_network(options.device, options.size)
    config = ConfigParser()
    config.read_config(ROOT / "configs" / "inference.json")
    inferer = config.get_parsed_content("inferer")
    image = torch.randn(1, options.size, options.size, device=options.device)
    clicks = torch.zeros(2, options.size, options.size, device=options.device)
    clicks.view(-1)[torch.randperm(clicks.numel())[: options.points]] = 1
    session = ClickSession(network, inferer, image)
    session.segment(clicks)

    def click() -> torch.Tensor:
        clicks.view(-1)[torch.randint(clicks.numel(), (1,))] = 1
        return session.segment(clicks)

    click_ms, full_ms = medians(
        click,
        lambda: inferer(torch.cat((image, clicks))[None], network),
        repeats=options.repeats,
        device=options.device,
    )
    return {"click_ms": click_ms, "full_ms": full_ms, "ratio": full_ms / click_ms, **settings_of(options)}


def measure_memory(options: argparse.Namespace) -> dict[str, Any]:
    """Cache sections of both domains as stage 1 does, and see what that takes.

    Args:
        options: ``sections``, ``size``, ``of``.

    Returns:
        For each domain, ``source`` and ``target``, megabytes (1e6 bytes) of a section: ``<domain>_mb`` held by the
        cache, and ``<domain>_process_mb`` that the process grew by, 0 where the system does not tell. ``total_gb``:
        what ``of`` sections of each domain come to, by the larger of both. And the settings.
    """
    results: dict[str, Any] = {}
    total, kept = 0.0, []
    with tempfile.TemporaryDirectory() as folder:
        first = write_sections(Path(folder) / "first", 1, options.size, PIXEL_SIZE)
        sections = write_sections(Path(folder) / "sections", options.sections, options.size, PIXEL_SIZE)
        for name, domain in (("source", "source"), ("target", "train")):
            kept.append(build_cache(first, domain))  # readers of images, and room to work in, are taken once
            before = resident_bytes()
            kept.append(build_cache(sections, domain))
            grown = (resident_bytes() - before) / options.sections / 1e6
            held = held_bytes(kept[-1]) / options.sections / 1e6
            results |= {f"{name}_mb": held, f"{name}_process_mb": grown}
            total += max(held, grown) * options.of / 1e3
    return results | {"total_gb": total} | settings_of(options)


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return what was asked for, to be written beside the results."""
    return {
        name: value for name, value in vars(options).items() if name not in ("command", "json", "measure", "accepted")
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the program.

    Args:
        arguments: command line; default that of the process.

    Returns:
        Exit status: 0, 1 when a ratio is not in its accepted range, or 2 when something given cannot be used.
    """
    options = parser().parse_args(arguments)
    try:
        make_folder(options.json.parent)
        results = options.measure(options)
        write_json(options.json, results)
    except (MendableError, OSError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    print(f"{options.command}: {', '.join(f'{name} {_short(value)}' for name, value in results.items())}")
    status = 0
    for name, (low, high) in options.accepted.items():
        if not low <= results[name] <= high:
            print(f"benchmark: {name} {results[name]:.3f}, expected {low:g} to {high:g}", file=sys.stderr)
            status = 1
    return status


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def _not_negative(text: str) -> int:
    return 0 if text == "0" else _positive(text)


def _short(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
