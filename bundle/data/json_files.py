"""JSON files that are read with one-line errors and written whole or not at all."""

import json
from pathlib import Path
from typing import Any

from bundle.errors import DataError
from bundle.replacing import replacing


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Args:
        path: the file.

    Returns:
        Its content.

    Raises:
        DataError: the file is missing or is no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error})") from None


def write_json(path: str | Path, content: Any) -> None:
    """Write a JSON file atomically: readers see the old content or the new one, never a part.

    Args:
        path: the file; its folder must exist.
        content: what ``json.dumps`` takes.
    """
    with replacing(Path(path)) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
