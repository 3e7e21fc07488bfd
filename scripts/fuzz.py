"""Read damaged and hostile files and requests in child processes: nothing may crash, hang, grow or answer with a page.

python -m scripts.fuzz --seconds 600
python -m scripts.fuzz --target nrrd --only 12345

The damage is our own (``scripts/fuzzing/mutations.py``) rather than that of hypothesis or atheris: a case must be made
again from its number alone, in a process that may die of it, and the readers are compiled without coverage to follow.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from threading import RLock

from tqdm import tqdm

from scripts.fuzzing.campaign import Outcome, Task, run_campaign
from scripts.fuzzing.child import ACCEPTED, REFUSED
from scripts.fuzzing.findings import Findings
from scripts.fuzzing.plan import Plan
from scripts.fuzzing.targets import GOALS, TARGETS

ROOT = Path(__file__).resolve().parents[1]

PRELOAD = "scripts.fuzzing.preload"
"""Imported once for all children."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(prog="python -m scripts.fuzz", description=(__doc__ or "").split("\n")[0])
    add = options.add_argument
    add("--seconds", type=float, help="time for all (default: 600, unless --cases or --only says where to end)")
    add("--cases", type=int, help="cases of each target")
    add("--target", nargs="+", choices=TARGETS, default=list(TARGETS), help="what to attack (default: all)")
    add("--only", help="number of a case of one target, or FIRST-LAST, to run again")
    add("--seed", type=int, default=0, help="another one makes other cases (default: 0)")
    add("--workers", type=int, default=len(os.sched_getaffinity(0)), help="child processes (default: one a core)")
    add("--output", type=Path, default=ROOT / "runs" / "fuzz", help="folder of what is found (default: runs/fuzz)")
    return options


class Report:
    """Counts of what became of the cases."""

    def __init__(self) -> None:
        self.kinds: dict[str, Counter[str]] = defaultdict(Counter)
        self.slowest: dict[str, float] = defaultdict(float)
        self.peak: dict[str, float] = defaultdict(float)

    def add(self, outcome: Outcome) -> None:
        """Count a case."""
        self.kinds[outcome.target][outcome.kind] += 1
        self.slowest[outcome.target] = max(self.slowest[outcome.target], outcome.seconds)
        self.peak[outcome.target] = max(self.peak[outcome.target], outcome.peak)

    def lines(self) -> list[str]:
        """A table with a row for each target, and what was reached of each goal."""
        form = "{:<12}{:>8}{:>10}{:>10}{:>10}{:>10}{:>10}"
        lines = [form.format("target", "cases", "refused", "accepted", "findings", "slowest", "memory")]
        groups: Counter[str] = Counter()
        for name, kinds in self.kinds.items():
            cases, refused, accepted = kinds.total(), kinds[REFUSED], kinds[ACCEPTED]
            found = cases - refused - accepted
            slowest, peak = f"{self.slowest[name]:.2f} s", f"{self.peak[name]:.0f} MiB"
            lines.append(form.format(name, cases, refused, accepted, found, slowest, peak))
            groups[TARGETS[name].group] += cases
        return [*lines, "; ".join(f"{group}: {count} of {GOALS[group]} wanted" for group, count in groups.items())]


def tasks_of(options: argparse.Namespace) -> Plan | list[Task]:
    """The cases that the command line asks for."""
    if options.only:
        first, _, last = options.only.partition("-")
        return [(name, range(int(first), int(last or first) + 1)) for name in options.target]
    seconds = 600.0 if options.seconds is None and options.cases is None else options.seconds
    return Plan({name: TARGETS[name] for name in options.target}, GOALS, seconds, options.cases)


def show(outcomes: Iterable[Outcome], options: argparse.Namespace) -> int:
    """Follow a campaign to its end, and say what was found; returns the exit status."""
    seed = f" --seed {options.seed}" if options.seed else ""
    findings = Findings(options.output, f"python -m scripts.fuzz --target {{target}} --only {{number}}{seed}")
    report = Report()
    tqdm.set_lock(RLock())  # its own would be one for processes, which a forked child could not release
    with tqdm(outcomes, unit="case", file=sys.stderr, mininterval=1) as bar:
        for outcome in bar:
            report.add(outcome)
            if outcome.is_finding:
                findings.add(outcome)
                bar.set_postfix_str(f"{findings.counts.total()} findings", refresh=False)
                if options.only:
                    print(outcome.text)
            elif options.only:
                print(f"{outcome.target} {outcome.number} {outcome.kind}: {outcome.text}")
    print("\n".join([*report.lines(), *findings.lines()]))
    print(f"{findings.counts.total()} findings" + (f"; examples in {options.output}" if findings.counts else ""))
    return 1 if findings.counts else 0


def main(arguments: list[str] | None = None) -> int:
    """Run a campaign; returns the exit status."""
    os.environ["OMP_NUM_THREADS"] = "1"  # of the children: one core each
    options = parser().parse_args(arguments)
    plan = tasks_of(options)
    listed = iter(plan) if isinstance(plan, list) else None
    next_task = plan.next_task if isinstance(plan, Plan) else lambda: next(listed or iter(()), None)
    outcomes = run_campaign(
        {name: TARGETS[name] for name in options.target},
        next_task,
        options.output / f"work-{os.getpid()}",
        options.seed,
        options.workers,
        preload=[PRELOAD],
    )
    start = time.monotonic()
    status = show(outcomes, options)
    print(f"{time.monotonic() - start:.0f} s")
    return status


if __name__ == "__main__":
    sys.exit(main())
