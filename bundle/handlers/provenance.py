"""Where weights come from: what the overlay beside them says of their training."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bundle.data.domain_folder import DATALIST, SYNTHETIC, read_datalist
from bundle.json_files import read_json
from bundle.preflight import typed_command
from bundle.state_files import read_state, state_sha256

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 10.0
"""Seconds for git."""


class Provenance:
    """What is known of a training at its start.

    Args:
        seed: of the random numbers.
        parent: checkpoint that it starts from; None for random weights.
        folders: the domain folder of each data set, or ``synthetic``, by name, such as ``source`` and ``target``.
        items: summaries as :func:`bundle.data.summarize_items` gives them, under the names with ``_data`` behind; a
            data set without summary is not learnt from. Further entries are not looked at.
    """

    def __init__(
        self,
        seed: int,
        parent: str | Path | None,
        folders: Mapping[str, str | Path],
        items: Mapping[str, Any],
    ) -> None:
        self.seed = seed
        self.parent = parent
        self.folders = dict(folders)
        self.items = dict(items)

    def record(self) -> dict[str, Any]:
        """Read what the files say now.

        Returns:
            For JSON: ``code`` (version and commit), ``config_files`` and ``overrides`` (as typed, null
            where a program started the training), ``seed``, ``parent`` (SHA-256 of the weights that it starts from,
            see :func:`bundle.state_files.state_sha256`) and ``data_sets``. No text in it is one that a configuration
            would take for a reference or an expression.

        Raises:
            DataError: the parent, or a list of a domain, cannot be read.
        """
        command = typed_command()
        files = None if command is None else command.pop("config_file", None)
        found = {
            "code": {"version": read_json(ROOT / "configs" / "metadata.json")["version"], "commit": _commit()},
            "config_files": [files] if isinstance(files, str) else files,
            "overrides": None if command is None else [f"--{name} {value}" for name, value in command.items()],
            "seed": self.seed,
            "parent": None if self.parent is None else state_sha256(read_state(Path(self.parent))),
            "data_sets": {
                name: {"name": _name(Path(folder)), "items": self.items[f"{name}_data"]}
                for name, folder in self.folders.items()
                if f"{name}_data" in self.items
            },
        }
        return dict(_inert(found))


def _name(folder: Path) -> str:
    is_listed = folder != Path(SYNTHETIC) and (folder / DATALIST).is_file()
    return str(read_datalist(folder)["name"]) if is_listed else folder.name


def _commit() -> str | None:
    """The commit of the code, with ``-dirty`` behind it where files were changed; None where it is no checkout."""
    if not (ROOT / ".git").exists():
        return None
    line = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _inert(value: Any) -> Any:
    """With escapes for what a configuration reads in a text."""
    if isinstance(value, str):
        return re.sub("[$@%]", lambda found: f"\\x{ord(found[0]):02x}", value)
    if isinstance(value, Mapping):
        return {name: _inert(inner) for name, inner in value.items()}
    return [_inert(inner) for inner in value] if isinstance(value, list | tuple) else value
