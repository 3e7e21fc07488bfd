"""The devices that a request may name."""

from __future__ import annotations

import reprlib
from typing import Any

import torch

from bundle.errors import SettingError


def devices() -> list[str]:
    """Names of the devices that exist, the one to use by default first: ``cuda``, ``cuda:0`` ... and ``cpu``."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [*(["cuda"] if count else []), *(f"cuda:{i}" for i in range(count)), "cpu"]


def chosen_device(asked: Any) -> str:
    """The device that a request names.

    Args:
        asked: its name; or a list, of which the first counts, as viewers send it back that offer a choice; or None
            for the default.

    Returns:
        One of :func:`devices`.

    Raises:
        SettingError: it is none of them.
    """
    known = devices()
    name = known[0] if asked is None else asked[0] if isinstance(asked, list) and asked else asked
    if not isinstance(name, str) or name not in known:
        raise SettingError(f"device is {reprlib.repr(name)}, expected {' or '.join(known)}")
    return name
