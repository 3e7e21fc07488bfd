"""What is attacked: how a target is written, and what counts as a refusal."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import ClassVar

from bundle.errors import MendableError

LONGEST_LINE = 2000
"""Characters of a refusal."""


class BrokenPromise(AssertionError):  # noqa: N818 - not the program's error, but what it should not have done
    """Something was neither taken in good order nor refused in one line."""


class Target(ABC):
    """A reader or a server, with inputs that are made from a number.

    Args:
        folder: empty folder of its own, which outlives a case.

    Attributes:
        held: what is closed with the target.
    """

    group: ClassVar[str]
    """``images``, ``bodies`` or ``files``: which of the numbers in ``GOALS`` its cases count for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.held = ExitStack()

    @abstractmethod
    def mutate(self, random: Random) -> dict[str, bytes]:
        """Make the input of a case.

        Args:
            random: the only source of chance.

        Returns:
            Content of each file, by name.
        """

    @abstractmethod
    def attack(self, given: Path) -> str | None:
        """Give the input to what is attacked.

        Args:
            given: folder that holds the files of :meth:`mutate` and nothing else.

        Returns:
            The line that refused it, None where it was accepted.

        Raises:
            BrokenPromise: it was neither. Any other error that comes out counts as a finding too.
        """

    def close(self) -> None:
        """Give back what the target holds."""
        self.held.close()


def refusal(call: Callable[[], object], naming: str = "") -> str | None:
    """Call a reader with hostile input.

    Args:
        call: the reader.
        naming: what its refusal must name, such as the file.

    Returns:
        Its refusal, None where it accepted.

    Raises:
        BrokenPromise: it refused, but not with one line that a person can use. What is neither a MendableError nor an
            OSError passes through.
    """
    try:
        call()
    except (MendableError, OSError) as error:
        check_line(str(error), naming)
        return str(error)
    return None


def check_line(line: str, naming: str = "") -> None:
    """Look at a refusal as the person who gets it.

    Args:
        line: the text.
        naming: what it must name.

    Raises:
        BrokenPromise: it is empty, very long, more than one line, or cannot be printed; or does not name ``naming``.
    """
    problem = ""
    if not line.strip():
        problem = "is empty"
    elif len(line.splitlines()) > 1:
        problem = "has several lines"
    elif len(line) > LONGEST_LINE:
        problem = f"has {len(line)} characters"
    elif any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in line):
        problem = "holds control characters"
    elif any(0xD800 <= ord(letter) < 0xE000 for letter in line):
        problem = "holds half a character, which cannot be printed"
    elif naming not in line:
        problem = f"does not name {naming}"
    if problem:
        raise BrokenPromise(f"the refusal {problem}: {line[:300]!r}")
