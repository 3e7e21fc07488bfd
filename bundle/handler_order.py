"""Checks the order of handlers in their lists: they run in that order, and some need the results of others."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pydoc import locate
from typing import Any

from monai.bundle import ConfigParser

from bundle.errors import SettingError

LOGGERS = ("StatsHandler", "TensorBoardStatsHandler", "MLFlowHandler")
"""MONAI's handlers that write down what others have left in ``engine.state.metrics``."""


def check_handler_order(config: Mapping[str, Any]) -> None:
    """Refuse lists of handlers whose order would lose something.

    A handler class lists in ``ahead_of`` the classes that must come after it in any list that has both; its docstring
    says why.

    Args:
        config: the merged files of a command; every list ``handlers`` in it is looked at.

    Raises:
        SettingError: names the list and the two handlers.
    """
    parser = ConfigParser(copy.deepcopy(dict(config)))
    parser.resolve_macro_and_relative_ids()
    for name, handlers in _lists(parser.get()):
        targets = [_target(handler, parser) for handler in handlers]
        classes = [target.rpartition(".")[2] for target in targets]
        for place, target in enumerate(targets):
            for other in getattr(locate(target) if "." in target else None, "ahead_of", ()):
                if other in classes[:place]:
                    raise SettingError(f"{name}: {classes[place]} stands behind {other}; put it before")


def _lists(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, list[Any]]]:
    """The ids of all lists of handlers, and the lists."""
    for key, value in config.items():
        if key == "handlers" and isinstance(value, list):
            yield f"{prefix}{key}", value
        elif isinstance(value, Mapping):
            yield from _lists(value, f"{prefix}{key}#")


def _target(handler: Any, parser: ConfigParser) -> str:
    """The class of an entry of a list, which may be the id of a component; empty where only running it tells."""
    if isinstance(handler, str) and handler.startswith("@"):
        handler = parser.get(handler[1:].replace("::", "#"))
    target = handler.get("_target_") if isinstance(handler, Mapping) else ""
    return target if isinstance(target, str) else ""
