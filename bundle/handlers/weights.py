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

from bundle.errors import DataError
from bundle.handlers.model_overlay import check_overlay, check_place, overlay_path, overlay_text
from bundle.handlers.provenance import Provenance
from bundle.handlers.shipped_weights import check_not_shipped
from bundle.state_files import LARGEST_WEIGHT, first_spoilt, printable, read_state, write_state

AGAIN = "with --resume True"
"""What to do about a full disk once there is room: the state of the run before is still there."""


class LoadWeights:
    """Load a network's weights before its engine starts.

    MONAI's ``CheckpointLoader`` loads when the engine starts, and shows a wrong file as a page of text. This one loads
    when it is attached and ends with one line. A handler that loads on STARTED, such as the ``CheckpointLoader`` that
    MONAI Label adds, comes later and wins. What an overlay refuses is said when this is made, before data are read.

    Args:
        path: flat state dict, as :class:`SaveWeights` writes it.
        network: changed in place; without a wrapper for several devices.
        settings: of this run, which those in the overlay beside the file must be, see
            :func:`bundle.handlers.model_overlay.check_overlay`; None to compare nothing.

    Raises:
        DataError: there is no such file, or it is of other settings than its overlay says; when attached: the file is
            unreadable, of another architecture, or its weights are not finite.
    """

    ahead_of = ("Resume",)

    def __init__(
        self, path: str | os.PathLike[str], network: nn.Module, settings: Mapping[str, Any] | None = None
    ) -> None:
        self.path = Path(path)
        self.network = network
        self.settings = settings
        if not self.path.is_file():
            raise DataError(f"{path}: no such checkpoint; train one first, or name another")
        if overlay_path(self.path).exists():
            check_weights(self.path, settings)

    def load(self) -> None:
        """Load; for a command without an engine."""
        load_weights(self.network, self.path, self.settings)

    def attach(self, engine: Engine) -> None:
        """Load, and log it."""
        self.load()
        engine.logger.info(f"loaded the weights in {self.path}")


class SaveWeights:
    """Save a network's weights when its engine has completed, as a flat state dict that MONAI Label and exports read.

    Unlike the final file of MONAI's ``CheckpointSaver``, this one replaces an older file only when the run completed,
    not when it failed, and at once. Weights that are not finite, or a full disk, are errors and leave it alone too.

    Beside the weights it writes their overlay. It bears the hash of its weights, and takes its place before them: what
    a training that was cut off in between leaves cannot be taken for a pair.

    Args:
        path: the file; its folder is made.
        network: without a wrapper for several devices. The first process writes.
        settings: for the overlay, see :func:`bundle.handlers.model_settings.model_settings`; None writes no overlay.
        provenance: what the overlay says of this training beside its settings.

    Raises:
        SettingError: when attached: the path is that of weights that come with the bundle.
        DataError: when attached: where the overlay would go lies another file.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        network: nn.Module,
        settings: Mapping[str, Any] | None = None,
        provenance: Provenance | None = None,
    ) -> None:
        self.path = Path(path)
        self.network = network
        self.settings = settings
        self.provenance = provenance
        self.record: dict[str, Any] = {}

    def attach(self, engine: Engine) -> None:
        """Register on a trainer, and note what it starts from."""
        check_not_shipped(self.path)
        if self.settings is not None and idist.get_rank() == 0:
            check_place(self.path)
            self.record = self.provenance.record() if self.provenance is not None else {}
        engine.add_event_handler(Events.COMPLETED, self.save)

    def save(self, engine: Engine) -> None:
        """On COMPLETED: write."""
        if idist.get_rank() == 0:
            state, beside = self.network.state_dict(), {}
            if self.settings is not None:
                beside[overlay_path(self.path)] = overlay_text(self.settings, self.record, state)
            write_state(state, self.path, again=AGAIN, beside=beside)
            engine.logger.info(f"saved the weights of epoch {engine.state.epoch} as {self.path}")


def load_weights(network: nn.Module, path: Path, settings: Mapping[str, Any] | None = None) -> None:
    """Load a file of weights whose overlay, if there is one, has the settings of this run.

    Args:
        network: changed in place.
        path: as :class:`SaveWeights` writes it.
        settings: see :class:`LoadWeights`.

    Raises:
        DataError: see :class:`LoadWeights`.
    """
    load_matching(network, check_weights(path, settings), str(path))


def check_weights(path: Path, settings: Mapping[str, Any] | None = None) -> dict[str, torch.Tensor]:
    """Read a file of weights whose overlay, if there is one, has the settings of this run.

    Args:
        path: as :class:`SaveWeights` writes it.
        settings: see :class:`LoadWeights`.

    Returns:
        Its flat state dict.

    Raises:
        DataError: it cannot be read, holds something else, or was trained with other settings.
    """
    state = read_state(path)
    _check_flat(state, str(path))
    if settings is not None:
        check_overlay(path, state, settings)
    return dict(state)


def load_matching(network: nn.Module, state: Any, source: str) -> None:
    """Load a state dict whose names and shapes are those of a network, and whose weights are finite.

    Args:
        network: changed in place.
        state: flat state dict of dense tensors, as :func:`bundle.state_files.read_state` gives it.
        source: where it comes from, for the message.

    Raises:
        DataError: it is no state dict, one of another architecture, or one of a training that went wrong.
    """
    _check_flat(state, source)
    own = network.state_dict()
    both = [name for name in own if name in state]
    differences = {
        "missing": [name for name in own if name not in state],
        "unknown": [printable(name) for name in state if name not in own],
        "of another shape": [
            f"{name} ({_shape(state[name])}, not {_shape(own[name])})"
            for name in both
            if own[name].shape != state[name].shape
        ],
        "of another type": [
            f"{name} ({state[name].dtype}, not {own[name].dtype})"
            for name in both
            if own[name].is_floating_point() != state[name].is_floating_point()
        ],
    }
    found = [f"{len(names)} {kind}, such as {names[0]}" for kind, names in differences.items() if names]
    if found:
        raise DataError(
            f"{source}: holds the weights of another network than image_encoder and decoder describe: of {len(own)} "
            f"entries {'; '.join(found)}. Set both as in its training, or name another checkpoint"
        )
    spoilt = first_spoilt(state, LARGEST_WEIGHT)
    if spoilt:
        raise DataError(f"{source}: {spoilt}: these are the weights of a training that diverged; name another")
    network.load_state_dict(dict(state))


def _check_flat(state: Any, source: str) -> None:
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise DataError(f"{source}: holds no flat state dict of tensors; name a file that a training wrote at its end")


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape))
