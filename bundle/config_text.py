"""Writes any path so that a MONAI configuration reads it back unchanged."""

from __future__ import annotations

import re
from os import PathLike, fspath

READ = re.compile(r"[#@%$]")
"""What MONAI reads in a text: ``#`` becomes ``::``, and a text may be a reference, a macro or an expression."""

SPECIAL = re.compile(r"[^A-Za-z0-9/._ -]")


def config_text(path: str | PathLike[str]) -> str:
    r"""Write a path as a setting of a bundle command or as a value of a ``ConfigParser``.

    Args:
        path: any path. For a command line an absolute one: of others, such as ``1e3``, the command line makes numbers.

    Returns:
        The path itself, if MONAI leaves it as it is. Otherwise an expression that evaluates to it, such as
        ``$"/data/a\x23b"``. That is a text literal and nothing else: all but letters, digits and ``/._ -`` is escaped,
        so that no name of a file can end it.
    """
    text = fspath(path)
    return f'$"{SPECIAL.sub(_escaped, text)}"' if READ.search(text) else text


def _escaped(character: re.Match[str]) -> str:
    number = ord(character[0])
    return f"\\x{number:02x}" if number < 256 else f"\\U{number:08x}"
