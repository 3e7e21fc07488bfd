"""From judgements in the store to items of a training set."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from bundle import keys as K
from bundle.errors import DataError, SettingError
from bundle.preferences.candidates.files import file_sha256, read_candidates
from bundle.preferences.store.judgement_store import Judgement, Question, check_fresh

STALE = ("refuse", "leave_out")
NONE_TEACHES = ("nothing", "no_anchor", "less_likely")

logger = logging.getLogger(__name__)


def judged_items(
    judgements: Iterable[Judgement],
    items: Iterable[Mapping[str, Any]],
    stale: str = "refuse",
    none_teaches: str = "nothing",
) -> list[dict[str, Any]]:
    """Group judgements by image, after checking that images and candidates are those that were judged.

    Where several annotators judged a question, the most frequent choice counts; skipped judgements do not count.
    Ties, and questions that all skipped or on which annotators are divided, teach nothing and are left out.

    Args:
        judgements: from the store, of all annotators who shall count.
        items: images of the training set, each with ``image`` (its path), ``points`` and ``point_labels``.
        stale: how to treat a judgement whose image is not in the training set, or whose image or candidates
            changed since: ``refuse``, or ``leave_out`` with a warning.
        none_teaches: what *none of these* teaches: ``nothing``, it is left out as a tie is; ``no_anchor`` or
            ``less_likely``, it is an item's judgement whose chosen is ``NONE``, see :mod:`bundle.losses.anchor` and
            :func:`bundle.losses.none_of_these_loss`.

    Returns:
        For each file of candidates ``image``, ``points``, ``point_labels``, ``candidates_file`` and ``judgements``, a
        list of (region_split, region_index, chosen, options), see :attr:`Question.options`.

    Raises:
        DataError: there is such a judgement, and it is not to be left out.
        SettingError: ``stale`` or ``none_teaches`` is something else.
    """
    check_none_teaches(none_teaches)
    if stale not in STALE:
        raise SettingError(f"stale_judgements is {stale!r}, expected one of {', '.join(STALE)}")
    known = {str(item[K.IMAGE]): item for item in items}
    by_question: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        by_question.setdefault(judgement.question.id, []).append(judgement)
    by_file: dict[str, list[Question]] = {}
    chosen: dict[str, int] = {}
    for identity, given in by_question.items():
        choice = most_frequent([judgement.chosen for judgement in given if judgement.chosen != "skip"])
        if choice == "none" and none_teaches != "nothing":
            choice = K.NONE
        if isinstance(choice, int):
            chosen[identity] = choice
            by_file.setdefault(given[0].question.candidates_file, []).append(given[0].question)
    found, problems = [], []
    read, fingerprint = cache(read_candidates), cache(file_sha256)
    for file, asked in sorted(by_file.items()):
        image, questions = asked[0].image, []
        for question in asked:
            try:
                if image not in known:
                    raise DataError(
                        f"{image}: was judged, but is no training image of this domain; see dataset_dir and store"
                    )
                check_fresh(question, read(file), fingerprint(image))
                questions.append(question)
            except DataError as error:
                if stale == "refuse":
                    raise DataError(
                        f"{error}; or set stale_judgements to leave_out, to learn from the others"
                    ) from None
                problems.append(error)
        if not questions:
            continue
        judged = [(one.region_split, one.region_index, chosen[one.id], one.options) for one in questions]
        item = {key: known[image][key] for key in (K.IMAGE, K.POINTS, K.POINT_LABELS)}
        found.append({**item, K.CANDIDATES_FILE: file, K.JUDGEMENTS: judged})
    if problems:
        logger.warning("%d judged questions are left out, the first because %s", len(problems), problems[0])
    return found


def check_none_teaches(none_teaches: str) -> None:
    """Refuse a setting that is not one of ``NONE_TEACHES``.

    Raises:
        SettingError: it is something else.
    """
    if none_teaches not in NONE_TEACHES:
        raise SettingError(f"none_teaches is {none_teaches!r}, expected one of {', '.join(NONE_TEACHES)}")


def most_frequent(choices: list[Any]) -> Any:
    """What was chosen most often, None where there is none or two lead."""
    leading = Counter(choices).most_common(2)
    divided = len(leading) == 2 and leading[0][1] == leading[1][1]
    return None if not leading or divided else leading[0][0]
