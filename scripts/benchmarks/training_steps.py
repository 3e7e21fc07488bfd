"""Steps of the three stages, and the passes of the networks that they cannot do without."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ignite.engine import Events
from monai.bundle import ConfigParser

from bundle import keys as K
from bundle.channels import clicks_of, em_of
from bundle.engines.adaptation_trainer import sample_positions
from bundle.handlers.weights import load_weights
from bundle.networks import PromptableSegmenter
from bundle.networks.prompt_encoder import clicks_to_points
from bundle.synthetic import random_style, render
from bundle.transforms.clicks import RandInstanceClicksd
from bundle.transforms.density import density_map, instance_centres
from scripts.benchmarks.configs import ROOT, read_config

PIXEL_SIZE = 20.0
"""Nanometres, of the shipped weights."""

WEIGHTS = ROOT / "models" / "model_synthetic.pt"


@dataclass(frozen=True)
class Stage:
    """How a stage is put together.

    Attributes:
        overlays: behind ``train.json`` and the CPU preset.
        handlers: those that do something in each iteration, as the configurations name them.
        bare: makes the bare passes of its trainer for a batch.
    """

    overlays: tuple[str, ...]
    handlers: tuple[str | dict[str, str], ...]
    bare: Callable[[Any, Any], Callable[[], None]]


def build_trainer(stage: Stage, device: str) -> Any:
    """Return a stage's trainer as its configuration makes it, with the shipped weights in all of its networks.

    Args:
        stage: one of :data:`STAGES`.
        device: as torch names it.

    Returns:
        The trainer, in the second step of its first epoch: the end of an epoch has work of its own.
    """
    config: ConfigParser = read_config(*stage.overlays)
    config.update(
        {
            "device": torch.device(device),
            "resolved_pixel_size": PIXEL_SIZE,
            "train::dataloader": [],
            "train::handlers": list(stage.handlers),
        }
    )
    config.parse(reset=True)
    network: PromptableSegmenter = config.get_parsed_content("network_def")
    load_weights(network, WEIGHTS)
    trainer = config.get_parsed_content("train::trainer")
    for other in ("teacher", "reference"):
        if hasattr(trainer, other):
            getattr(trainer, other).load_state_dict(network.state_dict())
    trainer.fire_event(Events.EPOCH_STARTED)
    trainer.state.iteration = 2
    return trainer


def step(trainer: Any, batch: Any) -> None:
    """Make a whole step: forward, targets, losses, backward, optimiser, checks, and what handlers do after each one."""
    trainer._iteration(trainer, batch)
    trainer.fire_event(Events.ITERATION_COMPLETED)


def bare_source(trainer: Any, batch: Any) -> Callable[[], None]:
    """The bare passes of stage 0: the network forward and backward."""
    network, image = trainer.network, batch[K.IMAGE]
    points = shortest_points(clicks_of(image), network.max_points)

    def passes() -> None:
        network.zero_grad(set_to_none=True)
        network.decode(*network.encode(em_of(image)), *points).sum().backward()

    return passes


def bare_adaptation(trainer: Any, batch: Any) -> Callable[[], None]:
    """The bare passes of stage 1: the teacher twice, once without prompts; the student on both domains, with probes.

    The points are those that the teacher estimates, and the given ones; the probes lie anywhere.
    """
    network, teacher = trainer.network, trainer.teacher
    source, target = batch[K.SOURCE], batch[K.TARGET]
    pseudo = trainer.teach(target[K.IMAGE], target[K.COMPLETE], target[K.INDEX])
    points = shortest_points(pseudo.clicks, network.max_points)
    source_points = shortest_points(clicks_of(source[K.IMAGE]), network.max_points)
    nothing = points[0][:, :0], points[1][:, :0]
    everywhere = torch.ones_like(pseudo.mask, dtype=torch.bool)
    drawn = sample_positions(everywhere, trainer.queries + trainer.negatives)
    probes = torch.cat((points[0], drawn), dim=1)

    def passes() -> None:
        network.zero_grad(set_to_none=True)
        with torch.no_grad():
            encoded = teacher.encode(em_of(target[K.IMAGE]))
            teacher.decode(*encoded, *nothing)
            teacher.decode(*encoded, *points)
        of_source = network.decode(*network.encode(em_of(source[K.IMAGE])), *source_points)
        of_target, probed = network.decode_with_probes(*network.encode(target[K.STRONG]), *points, probes)
        (of_source.sum() + of_target.sum() + probed.sum()).backward()

    return passes


def bare_preference(trainer: Any, batch: Any) -> Callable[[], None]:
    """The bare passes of stage 2: the reference forward, the policy forward and backward."""
    network, reference, image = trainer.network, trainer.reference, batch[K.IMAGE]
    points = shortest_points(clicks_of(image), network.max_points)

    def passes() -> None:
        network.zero_grad(set_to_none=True)
        with torch.no_grad():
            reference.decode(*reference.encode(em_of(image)), *points)
        network.decode(*network.encode(em_of(image)), *points).sum().backward()

    return passes


STAGES = {
    "source": Stage(("configs/source.json",), (), bare_source),
    "adapt": Stage((), ("@train::mean_teacher", {"_target_": "bundle.handlers.PseudoLabelQuality"}), bare_adaptation),
    "prefer": Stage(
        ("configs/prefer.json",),
        ({"_target_": "bundle.handlers.PreferenceStatistics"}, "@guard", "@train::mean_teacher"),
        bare_preference,
    ),
}
"""By the names of the results, in the order of the stages."""


def shortest_points(clicks: torch.Tensor, max_points: int) -> tuple[torch.Tensor, torch.Tensor]:
    """As :func:`bundle.networks.prompt_encoder.clicks_to_points`, without room for more points than any image has."""
    most = int(clicks.sum(dim=(1, 2, 3)).max())
    coords, labels = clicks_to_points(clicks, max_points)
    return coords[:, :most], labels[:, :most]


def make_batches(options: argparse.Namespace) -> dict[str, Any]:
    """Return a batch for each stage: synthetic tissue, for what is in an image changes the work on pseudo labels.

    Args:
        options: ``batch``, ``size``, ``points``, ``regions``, ``candidates``, ``device``.
    """
    rng = np.random.default_rng(0)
    tissue = [render(random_style(rng), (options.size,) * 2, PIXEL_SIZE, rng) for _ in range(2 * options.batch)]
    source, target = (labelled_images(part, options) for part in (tissue[: options.batch], tissue[options.batch :]))
    pixels = torch.arange(options.size**2) * options.regions // options.size**2
    batches = {
        "source": source,
        "adapt": {
            K.SOURCE: source,
            K.TARGET: {
                K.IMAGE: target[K.IMAGE],
                K.STRONG: em_of(target[K.IMAGE]) + 0.1,
                K.COMPLETE: torch.arange(options.batch) % 2 == 1,
                K.INDEX: torch.arange(options.batch),
            },
        },
        "prefer": {
            K.IMAGE: target[K.IMAGE],
            K.CANDIDATES: torch.rand(options.batch, options.candidates, options.size, options.size).round(),
            K.REGIONS: pixels.view(1, options.size, options.size).repeat(options.batch, 1, 1),
            K.CHOSEN: torch.randint(options.candidates, (options.batch, options.regions)),
        },
    }
    return {name: _to(batch, options.device) for name, batch in batches.items()}


def labelled_images(tissue: list[tuple[Any, Any]], options: argparse.Namespace) -> dict[str, torch.Tensor]:
    """Return images with clicks on at most ``points`` of their instances, as supervised training takes them."""
    click = RandInstanceClicksd(max_points=options.points, complete_prob=1.0)
    click.set_random_state(0)
    items = []
    for gray, instances in tissue:
        image = torch.from_numpy((gray - gray.mean()) / gray.std()).float()[None]
        image = click({K.IMAGE: image, K.INSTANCES: instances[None]})[K.IMAGE]
        density = density_map(instances.shape, instance_centres(instances), 76.0 / PIXEL_SIZE)
        items.append((image, torch.from_numpy((instances > 0)[None]).float(), torch.from_numpy(density)[None]))
    return dict(
        zip((K.IMAGE, K.LABEL, K.DENSITY), (torch.stack(part) for part in zip(*items, strict=True)), strict=True)
    )


def _to(batch: Any, device: str) -> Any:
    return {k: _to(v, device) for k, v in batch.items()} if isinstance(batch, dict) else batch.to(device)
