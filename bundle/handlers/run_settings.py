"""Settings of a run as plain values, to be written down and compared."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Plain = None | bool | int | float | str | list[Any]

SHOWN = 4
"""Differences of settings that a message tells."""


def flat(settings: Any, prefix: str = "") -> dict[str, Plain]:
    """Flatten settings into plain values.

    Args:
        settings: plain values, and dictionaries, lists and objects of them. An object, a transform for instance, is
            its class and its public attributes.
        prefix: of the names.

    Returns:
        Values by name, such as ``loss_weights.seg`` or ``normalize.0.lower``. A list of plain values is one value.
    """
    if isinstance(settings, np.generic):
        settings = settings.item()
    if settings is None or isinstance(settings, bool | int | float | str):
        return {prefix: settings}
    if isinstance(settings, os.PathLike):
        return {prefix: os.fspath(settings)}
    if isinstance(settings, list | tuple):
        if all(value is None or isinstance(value, bool | int | float | str) for value in settings):
            return {prefix: list(settings)}
        return _each(dict(enumerate(settings)), prefix)
    if isinstance(settings, Mapping):
        return _each(settings, prefix)
    if isinstance(settings, type) or not hasattr(settings, "__dict__"):
        return {prefix: getattr(settings, "__name__", type(settings).__name__)}
    public = {name: value for name, value in vars(settings).items() if not name.startswith("_")}
    return {prefix: type(settings).__name__, **_each(public, prefix)}


def differences(old: Mapping[str, Plain], new: Mapping[str, Plain]) -> list[str]:
    """List the settings that differ.

    A setting that only one side has is not a difference: an older version may have written it. An additional part of a
    setting that both have is one, such as a third transform of ``normalize``.

    Args:
        old: settings from :func:`flat` of the earlier run.
        new: settings from :func:`flat` of this run.

    Returns:
        For each difference the name and both values.
    """
    common = {_setting(name) for name in old} & {_setting(name) for name in new}
    names = [name for name in {**old, **new} if _setting(name) in common and old.get(name) != new.get(name)]
    return [f"{name} {_shown(old.get(name))}, not {_shown(new.get(name))}" for name in names]


def told(found: Sequence[str]) -> str:
    """Differences as a part of one line, the first few and how many more there are."""
    more = f"; and {len(found) - SHOWN} further differences" if len(found) > SHOWN else ""
    return f"{'; '.join(found[:SHOWN])}{more}"


def _each(settings: Mapping[Any, Any], prefix: str) -> dict[str, Plain]:
    found: dict[str, Plain] = {}
    for name, value in settings.items():
        part = str(name).replace("#", ".")  # MLflow takes no #
        found.update(flat(value, f"{prefix}.{part}" if prefix else part))
    return found


def _setting(name: str) -> str:
    return name.partition(".")[0]


def _shown(value: Plain) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
