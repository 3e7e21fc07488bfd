"""Weights from a file into a network, or a plain word on why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ignite.engine import Engine
from monai.handlers import CheckpointLoader
from torch import nn

from bundle.data.errors import DataError


class NetworkWeights(CheckpointLoader):
    """MONAI's CheckpointLoader for one network, with errors of one line.

    Args:
        load_path: checkpoint: a flat state dictionary, or one under the key ``model``.
        network: takes the weights when the engine starts, before the first batch.
        map_location: device that the file is read to.

    Raises:
        DataError: when the file is missing, at once; when it is no checkpoint or one of another network, at the start.
    """

    def __init__(self, load_path: str | Path, network: nn.Module, map_location: Any = None) -> None:
        if not Path(load_path).is_file():
            raise DataError(f"{load_path}: no such checkpoint; train one, or give its path as checkpoint")
        super().__init__(str(load_path), {"model": network}, map_location=map_location)

    def __call__(self, engine: Engine) -> None:
        """On STARTED: load."""
        try:
            super().__call__(engine)
        except Exception as error:  # torch has no common class for files and weights that do not fit
            reason = " ".join(str(error).split())[:300]
            raise DataError(
                f"{self.load_path}: does not fit the network; image_encoder and decoder must be those that "
                f"it was trained with ({reason})"
            ) from None
