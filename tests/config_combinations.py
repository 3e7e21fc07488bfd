"""The combinations of configuration files that the documents and the programs name, found in their text."""

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.documents import DOCUMENTS
from tests.integration.commands import ROOT

COMPLETE = ("train.json", "inference.json")
"""Configurations that stand alone; all others are laid over one of them."""
SCHEDULES = ("presets", "tasks")
"""Folders of overlays that go right behind a configuration that stands alone."""
LIST = re.compile(r"--config_file[ =]+(\"?\[[^\]]+\]|\S+)")


def commands() -> set[tuple[str, ...]]:
    """The files of each command, as paths below ``configs``, without presets."""
    named = {tuple(files) for files in (*in_documents(), *in_programs()) if files[0] in COMPLETE}
    return {tuple(file for file in files if not is_schedule(file)) for files in named}


def schedules() -> set[tuple[str, ...]]:
    """What may go behind the first file of a command: nothing, a preset, or overlays that are named together."""
    presets = {(str(path.relative_to(ROOT / "configs")),) for path in (ROOT / "configs" / "presets").glob("*.json")}
    in_commands = {tuple(filter(is_schedule, files)) for files in in_documents()}
    return {(), *presets, *in_commands, *(tuple(files) for files in in_programs() if all(map(is_schedule, files)))}


def in_documents() -> Iterator[list[str]]:
    """The lists behind ``--config_file`` in Markdown and in the Makefile."""
    for path in (*DOCUMENTS, ROOT / "Makefile"):
        for found in LIST.findall(path.read_text()):
            files = below_configs(re.findall(r"[\w/]+\.json", found))
            if files:
                yield files


def in_programs() -> Iterator[list[str]]:
    """The tuples and lists of configuration files in Python; what is not a plain text in them is left out."""
    for folder in ("scripts", "bundle"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Tuple | ast.List):
                    texts = [e.value for e in node.elts if isinstance(e, ast.Constant) and isinstance(e.value, str)]
                    files = below_configs(text for text in texts if text.endswith(".json"))
                    if files:
                        yield files


def below_configs(paths: Sequence[str] | Iterator[str]) -> list[str]:
    """Those of the paths that are configurations, from ``configs`` on."""
    names = [path.removeprefix("configs/") for path in paths]
    return [name for name in names if (ROOT / "configs" / name).is_file() and name != "metadata.json"]


def is_schedule(name: str) -> bool:
    """Whether an overlay is a preset or of a task."""
    return Path(name).parts[0] in SCHEDULES
