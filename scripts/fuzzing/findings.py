"""What was found: counted, told apart, and kept with its input."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from scripts.fuzzing.campaign import Outcome

KEPT = 3
"""Examples of a finding whose input is kept."""


class Finding(NamedTuple):
    """What several cases have in common.

    Attributes:
        target: name of the target.
        kind: of the outcome.
        sign: what it looks like: the error without its particulars, or the signal, and where it happened.
    """

    target: str
    kind: str
    sign: str


class Findings:
    """The findings of a campaign.

    Args:
        folder: where examples are kept.
        command: what repeats a case, with ``{target}`` and ``{number}``.
    """

    def __init__(self, folder: Path, command: str) -> None:
        self.folder = folder
        self.command = command
        self.counts: Counter[Finding] = Counter()
        self.examples: dict[Finding, list[str]] = {}

    def add(self, outcome: Outcome) -> None:
        """Count a finding, and keep its input unless there are enough like it."""
        finding = Finding(outcome.target, outcome.kind, sign_of(outcome))
        self.counts[finding] += 1
        examples = self.examples.setdefault(finding, [])
        if len(examples) == KEPT:
            return
        command = self.command.format(target=outcome.target, number=outcome.number)
        examples.append(command)
        kept = self.folder / f"{outcome.target}-{outcome.number}"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(outcome.given, kept, symlinks=True)
        about = f"{outcome.kind}: {finding.sign}\n{outcome.seconds:.2f} s, {outcome.peak:.0f} MiB\nrepeat: {command}\n"
        (kept / "report.txt").write_text(f"{about}\n{outcome.text}\n", encoding="utf-8", errors="backslashreplace")

    def lines(self) -> list[str]:
        """One line for each finding, the most frequent first."""
        return [
            f"{count} x {finding.target} {finding.kind}: {finding.sign} [{self.examples[finding][0]}]"
            for finding, count in self.counts.most_common()
        ]


def sign_of(outcome: Outcome) -> str:
    """What tells a finding from others: the last line without names and numbers, and the innermost line of ours."""
    lines = [line.strip() for line in outcome.text.splitlines() if line.strip()] or [""]
    places = re.findall(r'File "[^"]*?((?:bundle|scripts)/[\w/.]+)", line (\d+)', outcome.text)
    ours = [f"{file}:{line}" for file, line in places if not file.startswith("scripts/fuzzing")]
    died = outcome.text.startswith("ended ")
    # faulthandler writes the innermost place first, a traceback last
    where = (ours[0] if died else ours[-1]) if ours else "?"
    text = lines[0] if died else lines[-1]
    text = re.sub(r"'[^']*'|\"[^\"]*\"|/\S+|0x\w+|-?\d[\d.,e+-]*", "_", text)
    return f"{text[:120]} at {where}"
