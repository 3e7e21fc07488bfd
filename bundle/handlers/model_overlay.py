"""The model's overlay: beside the weights, a configuration with what their network needs in order to be run.

``models/adapted.json`` lies beside ``models/adapted.pt`` and goes behind ``inference.json`` or ``train.json``.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from pydoc import locate
from typing import Any

import torch
from monai.bundle import ComponentLocator, ConfigComponent
from monai.transforms import Transform
from torch import nn

from bundle.data.pixel_size import TOLERANCE
from bundle.errors import DataError
from bundle.handlers.run_settings import differences, flat, told
from bundle.json_files import read_json
from bundle.state_files import state_sha256

PROVENANCE = "_provenance_"
"""The comment key under which an overlay says where its weights come from."""

LARGEST = 1 << 20
"""Bytes of a file. Ours have a few thousand."""

PIXEL_SIZE = "pixel_size"

logger = logging.getLogger(__name__)


def overlay_path(checkpoint: str | os.PathLike[str]) -> Path:
    """Where the overlay of a checkpoint lies: ``models/adapted.json`` for ``models/adapted.pt``."""
    return Path(checkpoint).with_suffix(".json")


def overlay_text(settings: Mapping[str, Any], provenance: Mapping[str, Any], state: Mapping[str, torch.Tensor]) -> str:
    """Write an overlay.

    Args:
        settings: by id, see :func:`bundle.handlers.model_settings.model_settings`.
        provenance: where the weights come from.
        state: the weights. The overlay bears their hash, by which one of others is known, and the date (UTC).

    Returns:
        JSON.
    """
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    content = {**settings, PROVENANCE: {"weights": state_sha256(state), "date": date, **provenance}}
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def read_overlay(path: Path) -> dict[str, Any]:
    """Read an overlay, and run nothing of it.

    Args:
        path: the file.

    Returns:
        Settings by id, and the provenance under :data:`PROVENANCE`.

    Raises:
        DataError: it is none that a training wrote.
    """
    if not path.is_file() or path.stat().st_size > LARGEST:
        raise DataError(f"{path}: lies beside weights, and is no file of at most {LARGEST} bytes, as their overlay is")
    content = read_json(path)
    provenance = content.get(PROVENANCE) if isinstance(content, dict) else None
    if not isinstance(provenance, dict) or not isinstance(provenance.get("weights"), str):
        raise DataError(
            f"{path}: lies beside weights, where their overlay is expected, but has no {PROVENANCE} with the hash of "
            "weights; give it another name"
        )
    return dict(content)


def check_overlay(checkpoint: Path, state: Mapping[str, torch.Tensor], settings: Mapping[str, Any]) -> None:
    """Compare the settings that weights were trained with, as their overlay has them, with those of this run.

    Weights without overlay pass with a warning, and so do those of a known pixel size in a run that knows none.

    Args:
        checkpoint: file of the weights.
        state: its content.
        settings: of this run, by id.

    Raises:
        DataError: the overlay cannot be read, is of other weights, or has other settings.
    """
    path = overlay_path(checkpoint)
    if not path.exists():
        logger.warning(f"{checkpoint}: has no overlay {path.name} beside it, so its settings are not compared")
        return
    overlay = read_overlay(path)
    if overlay.pop(PROVENANCE)["weights"] != state_sha256(state):
        raise DataError(
            f"{path}: is of other weights than those in {checkpoint.name}, for one of the two was replaced, or their "
            f"training was cut off while it wrote them. Run that training again with --resume True, or remove {path} "
            "and set what it has by hand"
        )
    if PIXEL_SIZE in settings and settings[PIXEL_SIZE] is None and overlay.get(PIXEL_SIZE) is not None:
        logger.warning(
            f"{checkpoint}: works at {overlay[PIXEL_SIZE]} nm, but pixel_size is not known here, so images are taken "
            f"as they are. Add its overlay behind the other configurations: --config_file \"[..., '{path}']\""
        )
    found = _differences(overlay, settings)
    if found:
        raise DataError(
            f"{checkpoint}: its training had {told(found)}. Add its overlay behind the other configurations: "
            f"--config_file \"[..., '{path}']\""
        )


def overlays_of(checkpoint: Path) -> list[Path]:
    """The overlay of a checkpoint, for a program to put it behind its configurations.

    A configuration can run any code. Weights cannot, nor what lies beside them: here an overlay must be of plain
    values, and its components encoders and transforms of MONAI or of this bundle.

    Args:
        checkpoint: file of the weights.

    Returns:
        A list with the path, empty where there is none.

    Raises:
        DataError: it cannot be read, or asks for more.
    """
    path = overlay_path(checkpoint)
    if not path.exists():
        return []
    overlay = read_overlay(path)
    strange = _first_strange({name: value for name, value in overlay.items() if name != PROVENANCE})
    strange = strange or _first_code(overlay[PROVENANCE])
    if strange is not None:
        raise DataError(
            f"{path}: has {strange[:80]!r}, which is not taken from beside weights, for it may run any code. If you "
            "trust it, put it under another name and name that as a configuration"
        )
    return [path.absolute()]


def check_place(checkpoint: Path) -> None:
    """Refuse, before a training, a checkpoint whose overlay would replace a file of another kind.

    Raises:
        DataError: names the file.
    """
    path = overlay_path(checkpoint)
    if path == checkpoint:
        raise DataError(f"checkpoint is {checkpoint}, expected another suffix, such as .pt: .json is its overlay's")
    if path.exists():
        read_overlay(path)


def _differences(overlay: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    theirs, ours = dict(overlay), dict(settings)
    one, other = theirs.get(PIXEL_SIZE), ours.get(PIXEL_SIZE)
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    if one is None or other is None or (numbers and math.isclose(one, other, rel_tol=TOLERANCE)):
        theirs.pop(PIXEL_SIZE, None)
    found = [text.partition(" ") for text in differences(flat(theirs), flat(ours))]
    return [f"{name.replace('.', '#')} {values}" for name, _, values in found]


def _first_strange(value: Any) -> str | None:
    """The first text that MONAI would run, or component that is neither encoder nor transform."""
    code = _first_code(value)
    if code is not None:
        return code
    if isinstance(value, Mapping):
        target = value.get("_target_")
        if "_target_" in value and not _is_known(target):
            return str(target)
        inner = list(value.values())
    else:
        inner = value if isinstance(value, list) else []
    return next((found for found in map(_first_strange, inner) if found is not None), None)


def _first_code(value: Any) -> str | None:
    """The first reference, macro or expression."""
    if isinstance(value, str):
        return value if value[:1] in ("$", "%", "@") else None
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return next((found for found in map(_first_code, inner) if found is not None), None)


def _is_known(target: Any) -> bool:
    if not isinstance(target, str):
        return False
    name = str(ConfigComponent({"_target_": target}, locator=_LOCATOR).resolve_module_name())
    found = locate(name) if name.split(".")[0] in ("monai", "bundle") else None
    return isinstance(found, type) and issubclass(found, Transform | nn.Module)


_LOCATOR = ComponentLocator()
