"""The weights that come with the bundle: what programs start from, and what no training writes over."""

from __future__ import annotations

import os
from pathlib import Path

from bundle.errors import SettingError

MODELS = Path(__file__).resolve().parents[2] / "models"
SYNTHETIC_WEIGHTS = "model_synthetic.pt"
SHIPPED = (SYNTHETIC_WEIGHTS, "model.pt")


def check_not_shipped(checkpoint: str | os.PathLike[str]) -> None:
    """Refuse to write over weights that come with the bundle, or over their overlays.

    Args:
        checkpoint: where a training is to write.

    Raises:
        SettingError: it is one of them, or would have its overlay where theirs is.
    """
    path = Path(checkpoint)
    for name in SHIPPED:
        shipped = MODELS / name
        if _stem(path) == _stem(shipped) or path.resolve() == shipped.resolve():
            raise SettingError(
                f"checkpoint is {checkpoint}, but models/{name} comes with the bundle and is not written over; name "
                "another --checkpoint"
            )


def first_weights() -> Path:
    """The weights that a program starts with when nobody names any.

    Those that stage 1 wrote, else those that come with the bundle. Those of stage 2 are never meant: votes are on
    candidates of the weights before it.

    Returns:
        ``models/adapted.pt`` if it is there, else ``models/model_synthetic.pt``.
    """
    adapted = MODELS / "adapted.pt"
    return adapted if adapted.is_file() else MODELS / SYNTHETIC_WEIGHTS


def _stem(path: Path) -> Path:
    """What weights and their overlay have in common; a link is taken for itself."""
    return path.parent.resolve() / path.stem
