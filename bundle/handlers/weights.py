"""Weights of a network from a file and to a file: complete and matching, or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from torch import nn

from bundle.replacing import make_folder, replacing


class LoadWeights:
    """Load a network's weights before its engine starts.

    MONAI's ``CheckpointLoader`` loads when the engine starts, and shows a wrong file as a page of text. This one loads
    when it is attached and ends with one line. A handler that loads on STARTED, such as the ``CheckpointLoader`` that
    MONAI Label adds, comes later and wins.

    Args:
        path: flat state dict, as :class:`SaveWeights` writes it.
        network: changed in place; without a wrapper for several devices.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: when attached: the file is unreadable, or the weights of another architecture.
    """

    def __init__(self, path: str | os.PathLike[str], network: nn.Module) -> None:
        self.path = Path(path)
        self.network = network
        if not self.path.is_file():
            raise FileNotFoundError(f"{path}: no such checkpoint; train one first, or name another")

    def attach(self, engine: Engine) -> None:
        """Load."""
        load_matching(self.network, read_state(self.path), str(self.path))
        engine.logger.info(f"loaded the weights in {self.path}")


class SaveWeights:
    """Save a network's weights when its engine has completed, as a flat state dict that MONAI Label and exports read.

    Unlike the final file of MONAI's ``CheckpointSaver``, this one replaces an older file only when the run completed,
    not when it failed, and at once.

    Args:
        path: the file; its folder is made.
        network: without a wrapper for several devices. The first process writes.
    """

    def __init__(self, path: str | os.PathLike[str], network: nn.Module) -> None:
        self.path = Path(path)
        self.network = network

    def attach(self, engine: Engine) -> None:
        """Register on a trainer."""
        engine.add_event_handler(Events.COMPLETED, self.save)

    def save(self, engine: Engine) -> None:
        """On COMPLETED: write."""
        if idist.get_rank() == 0:
            write_state(self.network.state_dict(), self.path)
            engine.logger.info(f"saved the weights of epoch {engine.state.epoch} as {self.path}")


def read_state(path: Path) -> Any:
    """Read a file of tensors and plain containers to the CPU.

    Args:
        path: file that ``torch.save`` wrote.

    Returns:
        Its content.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and torch errors have no class in common
        raise ValueError(f"{path}: no checkpoint that torch can read ({type(error).__name__}); name another") from error


def write_state(state: Any, path: Path) -> None:
    """Write with ``torch.save``; a reader, or a run that is killed, meets the old file or the new one.

    Args:
        state: tensors and plain containers.
        path: the file; its folder is made.
    """
    make_folder(path.parent)
    with replacing(path) as partial:
        torch.save(state, partial)


def load_matching(network: nn.Module, state: Any, source: str) -> None:
    """Load a state dict whose names and shapes are those of a network.

    Args:
        network: changed in place.
        state: flat state dict.
        source: where it comes from, for the message.

    Raises:
        ValueError: it is no state dict, or one of another architecture.
    """
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError(f"{source}: holds no flat state dict of tensors; name a file that a training wrote at its end")
    own = network.state_dict()
    differences = {
        "missing": [name for name in own if name not in state],
        "unknown": [name for name in state if name not in own],
        "of another shape": [
            f"{name} ({_shape(state[name])}, not {_shape(own[name])})"
            for name in own
            if name in state and own[name].shape != state[name].shape
        ],
    }
    found = [f"{len(names)} {kind}, such as {names[0]}" for kind, names in differences.items() if names]
    if found:
        raise ValueError(
            f"{source}: holds the weights of another network than image_encoder and decoder describe: of {len(own)} "
            f"entries {'; '.join(found)}. Set both as in its training, or name another checkpoint"
        )
    network.load_state_dict(state)


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape))
