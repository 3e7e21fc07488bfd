"""Damage that mostly leaves JSON: types swapped, extreme numbers, missing and further fields, odd letters."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from random import Random
from typing import Any

from scripts.fuzzing.mutations import mutate

NESTED = "@nested@"
LONG_NUMBER = "@long number@"
"""Written into the text, since ``json.dumps`` could not."""

NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1, 2, 3, 63, 64, 255, 4096, 65536, 1 << 20, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**30, 10**400),
    *(-0.0, 0.5, 1.0, 1e-320, 1e308, -1e308, 86400.5, float("nan"), float("inf"), float("-inf")),
)
TEXTS = (
    *(
        "",
        " ",
        "0",
        "1",
        "true",
        "null",
        "nan",
        "none",
        "tie",
        "undo",
        "\x00",
        "a\x00b",
        "a\nb",
        "a\r\nb",
        "a\u2028b",
        "\x1b[31m",
    ),
    *("\ud800", "\udfff x", "\ud83d\ude00", "\u202etxt.exe", "\u0130", "\uff10", "e\u0301", "\ufeff", "%s%n{0}{x!r}"),
    *("../x", "/etc/passwd", "..\\..\\x", "C:\\x", "file:///etc/passwd", "~root", ".", "..", "/dev/zero", "/dev/stdin"),
    *("person:x", "oracle:x", "grid:0", "grid:99999999999999999999", "components:99999999", "' OR 1=1 --", "<script>"),
    *("x" * 300, "x" * 70000, "é" * 200, "__proto__", "$import os", "@network", "%x"),
)
KEYS = ("", "x", "image", "label", "points", "point_labels", "complete", "__class__", "\ud800", "a\nb", "x" * 5000)
FEW, MANY = 8, 60
"""How often something is repeated; a part of it may be repeated again."""


def mutate_json(content: Any, random: Random, words: Sequence[Any] = ()) -> bytes:
    """Damage JSON in one to six places.

    Args:
        content: what sound JSON says; not changed.
        random: source of chance.
        words: further values of interest; not changed.

    Returns:
        The text; sometimes the damage is to the text itself.
    """
    content = copy.deepcopy(content)
    while True:
        content = change(content, random, words)
        if random.random() < 0.6:
            break
    text = json.dumps(content, ensure_ascii=random.random() < 0.5)
    depth = random.choice((30, 500, 1000, 3000, 100_000))
    opening, closing = random.choice((("[", "]"), ('{"x":', "}")))
    text = text.replace(f'"{NESTED}"', opening * depth + "1" + closing * depth)
    text = text.replace(f'"{LONG_NUMBER}"', "9" * 5000)
    data = text.encode("utf-8", "surrogatepass")
    return mutate(data, random) if random.random() < 0.1 else data


def change(content: Any, random: Random, words: Sequence[Any]) -> Any:
    """Change one place, whose content may be of any size."""
    places = list(_places(content))
    holder, key = random.choice(places) if random.random() < 0.95 else (None, None)
    if holder is None:  # all of it
        return _other(content, content, random, words)
    way = random.random()
    if way < 0.55:
        holder[key] = _other(holder[key], content, random, words)
    elif way < 0.7:
        del holder[key]
    elif isinstance(holder, dict):
        name = random.choice((*KEYS, *(str(word) for word in words)))
        holder[name] = holder.pop(key) if random.random() < 0.5 else _other(None, content, random, words)
    elif way < 0.9:
        holder[key:key] = [copy.deepcopy(holder[key])] * random.choice((1, 1, FEW, MANY))
    else:
        random.shuffle(holder)
    return content


def _places(content: Any) -> Any:
    """All (container, key) pairs of lists and dictionaries, with (None, None) for the whole."""
    yield None, None
    waiting = [content]
    while waiting:
        holder = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        for key in keys:
            yield holder, key
            waiting.append(holder[key])


def _other(value: Any, content: Any, random: Random, words: Sequence[Any]) -> Any:
    """Something in the place of a value."""
    way = random.randrange(10)
    if way < 3 and isinstance(value, int | float) and not isinstance(value, bool):
        return random.choice((*NUMBERS, -value, value + 1, value - 1, value * 2, str(value)))
    if way < 3 and isinstance(value, str) and value:
        at = random.randrange(len(value))
        return random.choice((value[:at], value + value, value.upper(), value[:at] + random.choice(TEXTS) + value[at:]))
    if way < 5:
        return random.choice(TEXTS)
    if way < 7:
        return random.choice(NUMBERS)
    if way == 7:
        return random.choice((None, True, False, [], {}, [[]], [value], {"x": value}, NESTED, LONG_NUMBER, [0] * 3000))
    if way == 8 and words:
        return copy.deepcopy(random.choice(words))  # a later change must not be one of the word itself
    holder, key = random.choice(list(_places(content)))
    return copy.deepcopy(content if holder is None else holder[key])
