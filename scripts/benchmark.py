"""Measure how fast the bundle's parts are.

python -m scripts.benchmark decode --json runs/decode.json
python -m scripts.benchmark preference_step --json runs/preference_step.json
python -m scripts.benchmark click --json runs/click.json
"""

import argparse
import copy
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from bundle import keys as K
from bundle.atomic import make_folder
from bundle.engines import PreferenceTrainer, SourceTrainer
from bundle.engines.parts_trainer import Batch, PartsTrainer
from bundle.errors import MendableError, SettingError
from bundle.inferers import ClickSession
from bundle.json_files import write_json
from bundle.networks import PromptableSegmenter

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ("configs/train.json", "configs/presets/cpu.json")
WARM_UP = 3


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line.

    Each subcommand sets ``measure``, which returns the results, and ``accepted``, the range of a ratio that is fast.
    """
    options = argparse.ArgumentParser(prog="python -m scripts.benchmark", description=(__doc__ or "").split("\n")[0])
    commands = options.add_subparsers(dest="command", required=True)
    decode = commands.add_parser("decode", help="what prompts cost: PromptableSegmenter.decode with points and without")
    decode.add_argument("--points", type=_positive, default=32, help="points of an image")
    _add_common(decode, repeats=30)
    decode.set_defaults(measure=measure_decode, accepted=(0.0, 1.5))
    step = commands.add_parser("preference_step", help="what preferences cost: a step of stage 2 and one of stage 0")
    step.add_argument("--regions", type=_positive, default=64, help="judged regions of an image")
    step.add_argument("--candidates", type=_positive, default=8, help="masks to choose from")
    step.add_argument("--points", type=_positive, default=8, help="points of an image")
    _add_common(step, repeats=10)
    step.set_defaults(measure=measure_preference_step, accepted=(0.0, 2.5))
    click = commands.add_parser("click", help="what a click costs: the mask after one more, and a full inference")
    click.add_argument("--points", type=_positive, default=20, help="points that were there before")
    _add_common(click, repeats=10, batch=1, size=1024)
    click.set_defaults(measure=measure_click, accepted=(2.0, math.inf))
    return options


def _add_common(command: argparse.ArgumentParser, repeats: int, batch: int = 8, size: int = 128) -> None:
    command.add_argument("--json", type=Path, required=True, metavar="FILE", help="where to write the results")
    command.add_argument("--batch", type=_positive, default=batch, help="images at once")
    command.add_argument("--size", type=_positive, default=size, help="side of an image in pixels")
    command.add_argument("--repeats", type=_positive, default=repeats, help="measurements of each kind")
    command.add_argument("--device", default="cpu", help="as torch names it")
    command.add_argument("--threads", type=_positive, default=1, help="of the CPU; one is calmest beside other work")


def read_config(*overlays: str) -> ConfigParser:
    """Return the configuration of the CPU preset with overlays."""
    config = ConfigParser()
    config.read_config([str(ROOT / name) for name in (*CONFIGS, *overlays)])
    return config


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


def measure_preference_step(options: argparse.Namespace) -> dict[str, Any]:
    """Time a training step of stage 2, its reference included, and a supervised one of the same network, in turn.

    Args:
        options: ``regions``, ``candidates``, ``points``, ``batch``, ``size``, ``repeats``, ``device``, ``threads``.

    Returns:
        Medians ``preference_ms`` and ``supervised_ms`` in milliseconds, their ``ratio``, and the settings.

    Raises:
        SettingError: when ``size`` is no multiple of the network's stride.
    """
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    policy = build_network(options.device, options.size)
    supervised = build_trainer(SourceTrainer, copy.deepcopy(policy), "configs/source.json")
    preference = build_trainer(PreferenceTrainer, policy, "configs/prefer.json", reference=copy.deepcopy(policy))
    batch = random_batch(options)
    preference_ms, supervised_ms = medians(
        lambda: train(preference, batch),
        lambda: train(supervised, batch),
        repeats=options.repeats,
        device=options.device,
    )
    results = {"preference_ms": preference_ms, "supervised_ms": supervised_ms, "ratio": preference_ms / supervised_ms}
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


def build_trainer(
    kind: type[PartsTrainer[Batch]], network: PromptableSegmenter, overlay: str, **kwargs: Any
) -> PartsTrainer[Batch]:
    """Return a trainer of a stage, with the loss, its weights and the optimiser's settings of the configs."""
    config = read_config(overlay)
    rate, decay, norm = (config.get_parsed_content(n) for n in ("learning_rate", "weight_decay", "max_grad_norm"))
    return kind(
        device=next(network.parameters()).device,
        max_epochs=1,
        epoch_length=1,
        train_data_loader=[],
        network=network,
        optimizer=torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay),
        loss_function=config.get_parsed_content("train#loss"),
        loss_weights=config.get_parsed_content("loss_weights"),
        max_grad_norm=norm,
        **kwargs,
    )


def random_batch(options: argparse.Namespace) -> dict[str, torch.Tensor]:
    """Return what both stages read: content changes no time, only that every region is judged and disputed."""
    shape, pixels = (options.batch, 1, options.size, options.size), options.size**2
    clicks = torch.zeros(options.batch, 2, pixels)
    clicks[:, 0, torch.randperm(pixels)[: options.points]] = 1
    regions = (torch.arange(pixels) * options.regions // pixels).view(1, *shape[2:])
    batch = {
        K.IMAGE: torch.cat((torch.randn(shape), clicks.view(-1, 2, *shape[2:])), dim=1),
        K.LABEL: torch.rand(shape).round(),
        K.DENSITY: torch.rand(shape),
        K.CANDIDATES: torch.rand(options.batch, options.candidates, *shape[2:]).round(),
        K.REGIONS: regions.repeat(options.batch, 1, 1),
        K.CHOSEN: torch.randint(options.candidates, (options.batch, options.regions)),
    }
    return {name: tensor.to(options.device) for name, tensor in batch.items()}


def train(trainer: PartsTrainer[Any], batch: dict[str, torch.Tensor]) -> None:
    """Make one step: forward, losses, backward, optimiser."""
    trainer.network.train()
    trainer.optimizer.zero_grad(set_to_none=True)
    parts = trainer.compute_losses(batch)
    trainer.backward(torch.stack([weight * parts[name] for name, weight in trainer.loss_weights.items()]).sum())


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return what was asked for, to be written beside the results."""
    return {
        name: value for name, value in vars(options).items() if name not in ("command", "json", "measure", "accepted")
    }


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
    wait: Callable[[], None] = torch.cuda.synchronize if torch.device(device).type == "cuda" else lambda: None
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
        Exit status: 0, 1 when the ratio is not in the accepted range, or 2 when something given cannot be used.
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
    low, high = options.accepted
    if not low <= results["ratio"] <= high:
        print(f"benchmark: ratio {results['ratio']:.3f}, expected {low:g} to {high:g}", file=sys.stderr)
        return 1
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
