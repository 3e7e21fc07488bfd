"""The store: questions, judgements and clicks in SQLite, to which records are only ever added."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bundle.errors import DataError
from bundle.preferences.store.click_store import ClickStore
from bundle.preferences.store.json_lines import at_line, read_lines, read_question, write_lines
from bundle.preferences.store.records import (
    KINDS,
    Candidate,
    Judgement,
    Question,
    check_annotator,
    check_fresh,
    check_judgement,
    check_question,
)
from bundle.preferences.store.sqlite_file import WAIT, StoreFile

__all__ = ["Candidate", "Judgement", "JudgementStore", "Question", "check_fresh"]

QUESTIONS = "SELECT id, content, priority FROM questions"
BY_PRIORITY = " ORDER BY priority DESC, rowid"
UNANSWERED = """ WHERE coalesce((SELECT chosen FROM judgements WHERE question = questions.id AND annotator = ?
    ORDER BY number DESC LIMIT 1), 'undo') = 'undo'"""
JUDGEMENTS = "SELECT question, chosen, annotator, seconds, created_at, uid FROM judgements"
EFFECTIVE = """ WHERE chosen <> 'undo'
    AND number IN (SELECT max(number) FROM judgements GROUP BY question, annotator)"""

logger = logging.getLogger(__name__)


class JudgementStore:
    """Questions and judgements in one SQLite file, and clicks (``clicks``), as a context manager.

    A record is acknowledged when the method that adds it returns. From then on it outlives a killed process and a power
    failure: every commit is flushed to the disk (write-ahead log, ``synchronous=FULL``). Nothing is changed or
    deleted; triggers in the file refuse it to other programs too. To take a judgement back, add ``undo``.

    Several processes may write at once, each with a store of its own (do not carry one over a fork). The threads of
    a process may share one. A record that another program spoiled is passed over, with one line in the log.

    Args:
        path: the file.
        create: make it, in a folder that exists, if it is not there.
        wait: seconds for which a method waits, at most, while another program holds the file.

    Raises:
        DataError: there is no such file, or it is no store of this version, or it is held by another program.
        StorageError: it cannot be made on a read-only or full disk.
    """

    def __init__(self, path: str | Path, create: bool = True, wait: float = WAIT) -> None:
        self.path = Path(path)
        self.file = StoreFile(self.path, create, wait)
        self.clicks = ClickStore(self.file)
        self._passed_over: dict[str, int] = {}

    def __enter__(self) -> JudgementStore:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Closing again is harmless."""
        self.file.close()

    def open_questions(self, questions: Iterable[Question]) -> int:
        """Add the questions that are not there yet, all or none.

        Args:
            questions: the questions. One that is there keeps the priority that it was opened with.

        Returns:
            How many were new.

        Raises:
            DataError: a question is malformed, or the file cannot be written.
        """
        questions = list(questions)
        for question in questions:
            check_question(question)
        with self.file.transaction() as connection:
            return sum(self._open(connection, question) for question in questions)

    def questions(self) -> list[Question]:
        """All questions.

        Returns:
            The questions, highest priority first, then in the order of opening.
        """
        return list(self._questions(QUESTIONS + BY_PRIORITY).values())

    def question(self, identity: str) -> Question:
        """One question.

        Args:
            identity: its :attr:`Question.id`.

        Raises:
            KeyError: it was not opened here.
        """
        return self._questions(QUESTIONS + " WHERE id = ?", identity)[identity]

    def unanswered(self, annotator: str) -> list[Question]:
        """The questions that an annotator has yet to answer. One that was skipped is answered.

        Args:
            annotator: such as ``person:ada``.

        Returns:
            The questions, highest priority first, then in the order of opening.

        Raises:
            DataError: ``annotator`` is malformed.
        """
        check_annotator(annotator)
        return list(self._questions(QUESTIONS + UNANSWERED + BY_PRIORITY, annotator).values())

    def add(self, judgement: Judgement) -> bool:
        """Add a judgement.

        Args:
            judgement: of a question that was opened.

        Returns:
            True when it was written, False when it was there already (same uid and content).

        Raises:
            DataError: it is malformed, its question was not opened, its uid belongs to another judgement, or the file
                cannot be written.
        """
        return self.add_many([judgement]) == 1

    def add_many(self, judgements: Iterable[Judgement]) -> int:
        """Add judgements, all or none.

        Args:
            judgements: see :meth:`add`.

        Returns:
            How many were new.

        Raises:
            DataError: as in :meth:`add`, for any of them; then none is added.
        """
        judgements = list(judgements)
        for judgement in judgements:
            check_question(judgement.question)
            check_judgement(judgement)
        with self.file.transaction() as connection:
            return sum(self._add(connection, judgement) for judgement in judgements)

    def judgements(self, annotator: str | None = None, kind: str | None = None) -> list[Judgement]:
        """The judgements that count: of each question and annotator the last one, unless that is ``undo``.

        Args:
            annotator: only those of this one, such as ``person:ada``.
            kind: only those of annotators of this kind, such as ``person``.

        Returns:
            The judgements in the order in which they were added.

        Raises:
            ValueError: ``annotator`` or ``kind`` is malformed.
        """
        if annotator is not None:
            check_annotator(annotator)
        if kind is not None and kind not in KINDS:
            raise ValueError(f"kind is {kind!r}, expected one of {', '.join(KINDS)}")
        found = self._judgements(JUDGEMENTS + EFFECTIVE)
        return [
            judgement
            for judgement in found
            if annotator in (None, judgement.annotator) and kind in (None, judgement.annotator.partition(":")[0])
        ]

    def history(self) -> list[Judgement]:
        """All records as they were added, also those that were judged again or undone.

        Returns:
            The records in the order in which they were added.
        """
        return self._judgements(JUDGEMENTS)

    def export_jsonl(self, path: str | Path) -> None:
        """Write :meth:`history` and that of the clicks as JSON Lines, atomically.

        Args:
            path: file to write; its folder must exist. Fields: :func:`bundle.preferences.store.json_lines.write_lines`.
        """
        write_lines(path, [*self.history(), *self.clicks.history()])

    def import_jsonl(self, path: str | Path) -> int:
        """Add the records of a file of :meth:`export_jsonl` and open their questions, all or none.

        The records come after those that are there, whatever their time: theirs are the last judgements, and the
        last clicks on their pixels.

        Args:
            path: the file. Records that are there already are passed over.

        Returns:
            How many records were new.

        Raises:
            DataError: the file cannot be read, or a line is malformed or contradicts a record; the message names it.
        """
        records = list(read_lines(path))
        count = 0
        with self.file.transaction() as connection:
            for number, record in records:
                with at_line(path, number):
                    if isinstance(record, Judgement):
                        self._open(connection, record.question)
                        count += self._add(connection, record)
                    else:
                        count += self.clicks.add(connection, record)
        return count

    def _questions(self, query: str, *values: str) -> dict[str, Question]:
        """Questions of a query by their ids, without those that are malformed."""
        found, bad = {}, []
        for identity, content, priority in self.file.rows(query, *values):
            try:
                found[identity] = read_question(json.loads(content), priority)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                bad.append(error)
        self._pass_over("questions", bad)
        return found

    def _judgements(self, query: str) -> list[Judgement]:
        rows = self.file.rows(query + " ORDER BY number")
        questions = self._questions(QUESTIONS)  # after the judgements, so that none lacks its question
        found, bad = [], []
        for identity, *values in rows:
            if identity in questions:
                judgement = Judgement(questions[identity], *values)
                try:
                    check_judgement(judgement)
                    found.append(judgement)
                except DataError as error:
                    bad.append(error)
        self._pass_over("judgements", bad)
        return found

    def _pass_over(self, kind: str, bad: Sequence[Exception]) -> None:
        """Say once how many records are malformed."""
        if len(bad) > self._passed_over.get(kind, 0):
            self._passed_over[kind] = len(bad)
            logger.warning("%s: %d %s are malformed and passed over, the first: %s", self.path, len(bad), kind, bad[0])

    def _open(self, connection: sqlite3.Connection, question: Question) -> bool:
        """Add a question within a transaction, unless it is there."""
        if _is_open(connection, question):
            return False
        connection.execute(
            "INSERT INTO questions (id, content, priority) VALUES (?, ?, ?)",
            (question.id, question.content, float(question.priority)),
        )
        return True

    def _add(self, connection: sqlite3.Connection, judgement: Judgement) -> bool:
        """Add a judgement within a transaction, unless it is there."""
        question = judgement.question
        values = (question.id, judgement.chosen, judgement.annotator, float(judgement.seconds))
        # created_at is not compared: who sends a record again may have stamped it again
        query = "SELECT question, chosen, annotator, seconds FROM judgements WHERE uid = ?"
        there: Any = connection.execute(query, (judgement.uid,)).fetchone()
        if there == values:
            return False
        if there:
            raise DataError(f"{self.path}: uid {judgement.uid} belongs to another judgement; give each its own")
        if not _is_open(connection, question):
            raise DataError(
                f"{self.path}: the question about region {question.region_index} ({question.region_split}) of "
                f"{question.image} was not opened here; open it before it is judged"
            )
        connection.execute(
            "INSERT INTO judgements (question, chosen, annotator, seconds, created_at, uid) VALUES (?, ?, ?, ?, ?, ?)",
            (*values, judgement.created_at, judgement.uid),
        )
        return True


def _is_open(connection: sqlite3.Connection, question: Question) -> bool:
    return connection.execute("SELECT 1 FROM questions WHERE id = ?", (question.id,)).fetchone() is not None
