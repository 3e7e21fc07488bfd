"""What a network needs in order to be run as it was trained, as plain values."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from monai.bundle import ConfigParser


def model_settings(ids: Sequence[str], **known: Any) -> dict[str, Any]:
    """Read settings of the configuration that names this function, as a component of it.

    References and expressions are replaced by their values. Components stay what they are in JSON, ``_target_`` and
    arguments, so that they can be written down and made again. An encoder's ``weights``, a file that its own training
    starts from, are null: the weights of the whole network come from a checkpoint.

    Args:
        ids: such as ``normalize`` or ``network_def::dense_prompts``; those that the configuration lacks are left out.
        known: further settings, whose values are known.

    Returns:
        Values by id, with ``#`` between the parts of an id. They are of what JSON has; an expression of anything else,
        such as ``$torch.float32``, stays a text.
    """
    parser = _running_parser()
    settings = {name.replace("::", "#"): _plain(parser, name, parser[name]) for name in ids if name in parser}
    for value in settings.values():
        if isinstance(value, dict) and "_target_" in value and "weights" in value:
            value["weights"] = None
    return {**settings, **{name: _as_json(value) for name, value in known.items()}}


def _running_parser() -> ConfigParser:
    """The parser that is making this component.

    MONAI gives components the values of their arguments and nothing else: a component among them would come as an
    object, of which nobody can tell how to make it again. So the parser is looked up among the callers.
    """
    frame = inspect.currentframe()
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, ConfigParser):
            return owner
        frame = frame.f_back
    raise RuntimeError("model_settings is a component of a configuration, and is of no use elsewhere")


def _plain(parser: ConfigParser, name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(parser, f"{name}#{key}", inner) for key, inner in value.items() if key != "_desc_"}
    if isinstance(value, list | tuple):
        return [_plain(parser, f"{name}#{place}", inner) for place, inner in enumerate(value)]
    if isinstance(value, str) and value.startswith("@"):
        return _plain(parser, value[1:], parser[value[1:]])
    if isinstance(value, str) and value.startswith("$"):
        found = parser.ref_resolver.get_resolved_content(name)
        return _as_json(found) if _is_json(found) else value
    return _as_json(value)


def _as_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _as_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(inner) for inner in value]
    if isinstance(value, np.generic):
        return value.item()
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _is_json(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_json, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_json, value))
    return value is None or isinstance(value, bool | int | float | str | np.generic)
