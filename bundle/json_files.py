"""JSON files, read with one-line errors and written atomically."""

import json
import math
from pathlib import Path
from typing import Any

from bundle.atomic import replacing
from bundle.errors import DataError

_DIGITS = 18
"""Most digits of a whole number, so that it fits into 64 bits."""
_DEPTH = 32
"""Deepest nesting, which Python can still print and compare. The bundle's own files have 5 levels."""


def parse_json(text: str) -> Any:
    """Parse JSON strictly by RFC 8259, which Python's parser does not.

    Args:
        text: one JSON value.

    Returns:
        Its content, of finite numbers.

    Raises:
        ValueError: it is no JSON, is nested too deeply, says NaN or Infinity, has a number beyond 64 bits, half of a
            surrogate pair or a key twice in one object, of which Python would drop the first. One line.
    """
    try:
        content = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    _check_depth(content)
    if "\\u" in text:
        try:
            json.dumps(content, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("it has half of a surrogate pair, which is no character") from None
    return content


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Args:
        path: the file.

    Returns:
        Its content, see :func:`parse_json`.

    Raises:
        DataError: the file is missing or is no JSON.
    """
    try:
        return parse_json(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error})") from None


def write_json(path: str | Path, content: Any) -> None:
    """Write a JSON file atomically: readers see the old content or the new one, never a part.

    Args:
        path: the file; its folder must exist.
        content: what ``json.dumps`` takes. Numbers that are not finite become null, for JSON has none.
    """
    with replacing(Path(path)) as partial:
        partial.write_text(json.dumps(_with_nulls(content), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _check_depth(content: Any) -> None:
    level = [content]
    for _ in range(_DEPTH):
        level = [
            value
            for outer in level
            for value in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
            if isinstance(value, dict | list)
        ]
        if not level:
            return
    raise ValueError("it is nested too deeply")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:80]!r} stands twice in one object")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON; expected a finite number or null")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _whole(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(f"the number {text[:40]} is too large")
    return int(text)


def _with_nulls(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _with_nulls(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_with_nulls(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
