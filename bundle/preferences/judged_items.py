"""From judgements in the store to items of a training set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from bundle import keys as K
from bundle.errors import DataError
from bundle.preferences.candidate_files import file_sha256, read_candidates
from bundle.preferences.store import Judgement, Question, check_fresh


def judged_items(judgements: Iterable[Judgement], items: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Put the judgements of each image together, after every check of what they refer to.

    Where several annotators answered a question, the answer that most of them gave counts; who skipped it gave none.
    Ties, and questions that all skipped or on which annotators are divided, teach nothing and are left out.

    Args:
        judgements: from the store, of all annotators who shall count.
        items: images of the training set, each with ``image`` (its path), ``points`` and ``point_labels``.

    Returns:
        For each file of candidates ``image``, ``points``, ``point_labels``, ``candidates_file`` and ``judgements``, a
        list of (regions, index, winner).

    Raises:
        DataError: a judged image is not in the training set, or an image or a candidate changed since it was judged.
    """
    known = {str(item[K.IMAGE]): item for item in items}
    answers: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        answers.setdefault(judgement.question.id, []).append(judgement)
    by_file: dict[str, list[Question]] = {}
    winners: dict[str, int] = {}
    for identity, given in answers.items():
        winner = most_frequent([judgement.answer for judgement in given if judgement.answer != "skip"])
        if isinstance(winner, int):
            winners[identity] = winner
            by_file.setdefault(given[0].question.candidates_file, []).append(given[0].question)
    found = []
    for file, questions in sorted(by_file.items()):
        image = questions[0].image
        if image not in known:
            raise DataError(f"{image}: was judged, but is no training image of this domain; see dataset_dir and store")
        made, fingerprint = read_candidates(file), file_sha256(image)
        for question in questions:
            check_fresh(question, made, fingerprint)
        judged = [(question.regions, question.index, winners[question.id]) for question in questions]
        item = {key: known[image][key] for key in (K.IMAGE, K.POINTS, K.POINT_LABELS)}
        found.append({**item, K.CANDIDATES_FILE: file, K.JUDGEMENTS: judged})
    return found


def most_frequent(answers: list[Any]) -> Any:
    """The answer given most often, None where there is none or two lead."""
    leading = Counter(answers).most_common(2)
    divided = len(leading) == 2 and leading[0][1] == leading[1][1]
    return None if not leading or divided else leading[0][0]
