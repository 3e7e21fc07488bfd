"""What the documents say: their links, and the commands in them."""

import ast
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.integration.commands import ROOT

DOCUMENTS = sorted(
    path for pattern in ("*.md", "docs/*.md", "models/*.md", ".github/**/*.md") for path in ROOT.glob(pattern)
)
PROGRAMS = sorted(path for path in (ROOT / "scripts").glob("*.py") if path.name != "__init__.py")

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
OUR_PROGRAMS = ("make", "python", "torchrun", "pip", "pytest", "monailabel", "tensorboard", "mlflow", "pre-commit")


class Command(NamedTuple):
    """A command line, in parts as a shell makes them, and the document that has it."""

    document: str
    words: tuple[str, ...]

    @property
    def program(self) -> str:
        return Path(self.words[0]).name or self.words[0]

    def __str__(self) -> str:
        return f"{self.document}: {shlex.join(self.words)}"


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def spans(text: str) -> list[str]:
    """Inline code, on one line each; blocks of code left out."""
    return [" ".join(found[2].split()) for found in SPAN.finditer(FENCE.sub("", text))]


def blocks(text: str, *languages: str) -> list[str]:
    """Blocks of code that are marked as one of these languages; "" for those without a mark."""
    return [found[2] for found in FENCE.finditer(text) if found[1] in languages]


def links(text: str) -> list[str]:
    """Targets of the links and pictures outside of code that lie in the repository."""
    prose = SPAN.sub("", FENCE.sub("", text))
    return [target for target in LINK.findall(prose) if not re.match(r"[a-z]+:", target)]


def anchors(text: str) -> set[str]:
    """The names that GitHub gives to the headings of a page."""
    count: Counter[str] = Counter()
    found = set()
    for heading in HEADING.findall(FENCE.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.add(f"{name}-{count[name]}" if count[name] else name)
        count[name] += 1
    return found


def commands_of(document: Path) -> Iterator[Command]:
    """The commands of a page: the lines of its blocks of code, and inline code that begins with one of our programs."""
    text = document.read_text()
    lines = [line for block in blocks(text, "", "sh", "bash") for line in block.replace("\\\n", " ").splitlines()]
    inline = [span for span in spans(text) if _begins_a_command(span)]
    for line in (*lines, *inline):
        words = tuple(shlex.split(line, comments=True))
        if words:
            yield Command(name_of(document), words)


def commands_of_program(path: Path) -> Iterator[Command]:
    """The commands that a program's own docstring shows."""
    for line in (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines():
        if line.strip().startswith("python "):
            yield Command(name_of(path), tuple(shlex.split(line)))


def _begins_a_command(span: str) -> bool:
    first, _, rest = span.partition(" ")
    return bool(rest) and Path(first).name in OUR_PROGRAMS
