"""Stores and JSON Lines of older versions: what their fields are called now."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from bundle.errors import DataError
from bundle.preferences.store.sqlite_tables import (
    QUESTIONS_AND_JUDGEMENTS,
    VERSION,
    make_click_tables,
    protect,
    unprotect,
)

OLDER = (1, 2, 3)
"""Versions that are brought up to this one."""
NAMES = {"answer": "chosen", "regions": "region_split", "index": "region_index", "region": "box"}
"""What the fields of versions 1 and 2 are called since version 3."""


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring the tables of a file up to this version, within the caller's transaction.

    Records keep their content and order, and questions their ids, see
    :func:`bundle.preferences.store.records.hashed_spelling`. What another program spoiled stays as it is.

    Args:
        connection: of the file.
        version: of the file: 1, which has no clicks, 2, with the old names, or 3, whose judgements know no ``none``.
    """
    if version == 1:
        make_click_tables(connection)
    if version < 3:
        _rename_fields(connection)
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _rename_fields(connection: sqlite3.Connection) -> None:
    """Give the fields of versions 1 and 2 the names that they have since version 3."""
    connection.execute("ALTER TABLE judgements RENAME COLUMN answer TO chosen")
    connection.execute("DROP INDEX IF EXISTS answers")
    connection.execute(QUESTIONS_AND_JUDGEMENTS[-1])
    unprotect(connection, "questions")
    for number, content in connection.execute("SELECT rowid, content FROM questions").fetchall():
        renamed = rename_content(content)
        if renamed != content:
            connection.execute("UPDATE questions SET content = ? WHERE rowid = ?", (renamed, number))
    for table in ("questions", "judgements"):
        protect(connection, table)


def rename_content(content: Any) -> Any:
    """Give the fields of a stored question the names that they have now.

    Args:
        content: JSON. What is none is given back as it is.
    """
    try:
        fields = json.loads(content)
    except (ValueError, TypeError, RecursionError):
        return content
    if not isinstance(fields, dict):
        return content
    return json.dumps(_renamed(fields), sort_keys=True, separators=(",", ":"))


def rename_line(record: Mapping[str, Any]) -> dict[str, Any]:
    """Give the fields of a line of JSON Lines the names that they have now.

    Args:
        record: a judgement of version 1 or 2, which also has ``winner``: the answer if that is a number, else null.

    Returns:
        The record without ``winner``.

    Raises:
        DataError: ``winner`` contradicts the answer.
    """
    answer, winner = record["answer"], record.get("winner")
    if winner != (None if isinstance(answer, str) else answer):
        raise DataError(f"winner is {str(repr(winner))[:80]}, expected what answer says")
    return _renamed({name: value for name, value in record.items() if name != "winner"})


def _renamed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields with new names, save where both names are there."""
    return {name if NAMES.get(name) in fields else NAMES.get(name, name): value for name, value in fields.items()}
