"""Judgements and clicks as JSON Lines: one record a line, a judgement with all that its question says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bundle.atomic import replacing
from bundle.errors import DataError
from bundle.json_files import parse_json
from bundle.preferences.store.click_records import CLICK_FIELDS, ClickRecord, check_click
from bundle.preferences.store.older_versions import rename_line
from bundle.preferences.store.records import Candidate, Judgement, Question, check_judgement, check_question, expect

QUESTION_FIELDS = (
    "image",
    "image_sha256",
    "candidates_file",
    "candidates",
    "region_split",
    "region_index",
    "box",
    "model",
)
OPTIONAL_FIELDS = ("shown",)
JUDGEMENT_FIELDS = ("chosen", "annotator", "seconds", "created_at", "uid")
FIELDS = (*QUESTION_FIELDS, "priority", *JUDGEMENT_FIELDS)


def write_lines(path: str | Path, records: Iterable[Judgement | ClickRecord]) -> None:
    """Write records, atomically.

    A line is an object with ``FIELDS`` and perhaps ``OPTIONAL_FIELDS``, or of a click with ``CLICK_FIELDS``.

    Args:
        path: file to write; its folder must exist.
        records: the records, in this order.
    """
    with replacing(Path(path)) as partial, partial.open("w", encoding="utf-8") as file:
        file.writelines(_write_record(record) + "\n" for record in records)


def read_lines(path: str | Path) -> Iterator[tuple[int, Judgement | ClickRecord]]:
    """Read a file of :func:`write_lines`, also one of an older version.

    Args:
        path: the file.

    Yields:
        Number, from 1, and content of each line that is not empty.

    Raises:
        DataError: the file cannot be read, or a line is malformed; the message names file and line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeError) as error:
        raise DataError(f"{path}: cannot be read as JSON Lines ({error}); name another file") from None
    for number, line in enumerate(lines, start=1):
        if line.strip():
            with at_line(path, number):
                record = _read_record(line)
            yield number, record


@contextmanager
def at_line(path: str | Path, number: int) -> Iterator[None]:
    """Name the line in the error of the block.

    Args:
        path: the file.
        number: the line.

    Raises:
        DataError: when the block raises one.
    """
    try:
        yield
    except ValueError as error:
        raise DataError(f"{path}: line {number}: {error}; nothing was imported") from None


def read_question(fields: Mapping[str, Any], priority: float) -> Question:
    """Build a question from JSON.

    Args:
        fields: an object with at least ``QUESTION_FIELDS``, and perhaps ``OPTIONAL_FIELDS``.
        priority: which ``Question.content`` leaves out.

    Returns:
        The question, checked.

    Raises:
        DataError: a field has another type or is out of range.
    """
    missing = set(QUESTION_FIELDS) - fields.keys()
    expect(not missing, "question", sorted(fields), f"also {', '.join(sorted(missing))}")
    listed = fields["candidates"]
    fine = isinstance(listed, list) and all(
        isinstance(c, dict) and c.keys() == {"id", "made", "sha256"} for c in listed
    )
    fine = fine and [c["id"] for c in listed] == list(range(len(listed)))
    expect(fine, "candidates", listed, "a list of objects with id (0, 1, ...), made and sha256")
    expect(isinstance(fields["box"], list), "box", fields["box"], "[x0, y0, x1, y1]")
    shown = fields.get("shown", [])
    expect(isinstance(shown, list), "shown", shown, "a list of numbers of candidates")
    question = Question(
        candidates=tuple(Candidate(c["made"], c["sha256"]) for c in listed),
        box=tuple(fields["box"]),
        priority=priority,
        shown=tuple(shown),
        **{name: fields[name] for name in QUESTION_FIELDS if name not in ("candidates", "box")},
    )
    check_question(question)
    return question


def _read_record(line: str) -> Judgement | ClickRecord:
    try:
        record = parse_json(line)
    except ValueError as error:
        raise DataError(f"no JSON ({error})") from None
    if not isinstance(record, dict):
        raise DataError(f"expected a JSON object, got {line.strip()[:80]}")
    if "answer" in record:
        record = rename_line(record)
    wanted = set(CLICK_FIELDS if "action" in record else FIELDS)
    missing, unknown = wanted - record.keys(), record.keys() - wanted - set(OPTIONAL_FIELDS)
    if "action" in record:
        unknown |= record.keys() & set(OPTIONAL_FIELDS)
    if missing or unknown:
        raise DataError(
            f"fields missing: {', '.join(sorted(missing)) or 'none'}, unknown: {', '.join(sorted(unknown)) or 'none'}"
        )
    if "action" in record:
        click = ClickRecord(**record)
        check_click(click)
        return click
    question = read_question(record, record["priority"])
    judgement = Judgement(question, *(record[name] for name in JUDGEMENT_FIELDS))
    check_judgement(judgement)
    return judgement


def _write_record(record: Judgement | ClickRecord) -> str:
    if isinstance(record, ClickRecord):
        return json.dumps({name: getattr(record, name) for name in CLICK_FIELDS})
    question = record.question
    fields = {**question.fields, "priority": question.priority}
    return json.dumps(fields | {name: getattr(record, name) for name in JUDGEMENT_FIELDS})
