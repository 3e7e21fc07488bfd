"""Which cases are run in the time there is."""

from __future__ import annotations

import time
from collections.abc import Mapping

from scripts.fuzzing.campaign import Task
from scripts.fuzzing.target import Target

CHUNK = 25
"""Cases that a child is given at a time."""


class Plan:
    """Cases of several targets, so that all are equally far on the way to their goals at any time.

    Args:
        targets: by name.
        goals: cases of each group of targets that shall be reached, shared by its targets.
        seconds: when to stop; None for not by time.
        cases: when to stop with each target; None for not by number.
    """

    def __init__(
        self,
        targets: Mapping[str, type[Target]],
        goals: Mapping[str, int],
        seconds: float | None = None,
        cases: int | None = None,
    ) -> None:
        groups = [target.group for target in targets.values()]
        self.shares = {name: goals[target.group] / groups.count(target.group) for name, target in targets.items()}
        self.begun = dict.fromkeys(targets, 0)
        self.cases = cases
        self.seconds = seconds
        self.start = time.monotonic()

    def next_task(self) -> Task | None:
        """Some cases of the target that is furthest behind, None at the end."""
        if self.seconds is not None and time.monotonic() - self.start > self.seconds:
            return None
        open_ = [name for name, begun in self.begun.items() if self.cases is None or begun < self.cases]
        if not open_:
            return None
        name = min(open_, key=lambda name: self.begun[name] / self.shares[name])
        first = self.begun[name]
        last = first + CHUNK if self.cases is None else min(first + CHUNK, self.cases)
        self.begun[name] = last
        return name, range(first, last)
