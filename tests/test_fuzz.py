"""The fuzzer finds planted faults, repeats its cases, and finds none in the readers and the server."""

import ctypes
import os
import time
from abc import abstractmethod
from pathlib import Path
from random import Random

import pytest

from bundle.errors import DataError
from scripts.fuzz import PRELOAD, main
from scripts.fuzzing.campaign import run_campaign
from scripts.fuzzing.findings import Findings, sign_of
from scripts.fuzzing.json_mutations import mutate_json
from scripts.fuzzing.mutations import mutate
from scripts.fuzzing.plan import Plan
from scripts.fuzzing.target import Target, refusal
from scripts.fuzzing.targets import TARGETS

GOOD = 20
"""Cases of a planted target that are in order; the one behind them is not."""


class Planted(Target):
    """A reader that takes even numbers, refuses odd ones, and has a fault at number 20."""

    group = "files"

    def mutate(self, random: Random) -> dict[str, bytes]:
        count = len(list(self.folder.iterdir()))
        (self.folder / str(count)).touch()
        return {"number.txt": str(count).encode()}

    def attack(self, given: Path) -> str | None:
        number = int((given / "number.txt").read_text())
        if number == GOOD:
            return self.fault(given)
        if number % 2:
            return refusal(
                lambda: refuse(f"{given / 'number.txt'}: is {number}, expected an even number"), "number.txt"
            )
        return None

    @abstractmethod
    def fault(self, given: Path) -> str | None:
        """What goes wrong."""


def refuse(line: str) -> None:
    raise DataError(line)


class Segfault(Planted):
    def fault(self, given):
        ctypes.string_at(0)


class Exit(Planted):
    def fault(self, given):
        os._exit(3)


class Hang(Planted):
    def fault(self, given):
        time.sleep(600)


class HangInC(Planted):
    """Holds the interpreter, as a library does that loops."""

    def fault(self, given):
        ctypes.PyDLL(None).sleep(600)


class Memory(Planted):
    def fault(self, given):
        bytearray(os.urandom(1 << 20)) * 4096
        time.sleep(600)


class BriefMemory(Planted):
    def fault(self, given):
        bytearray(os.urandom(1 << 20)) * 1000


class Error(Planted):
    def fault(self, given):
        return refusal(lambda: {}["missing"], "number.txt")


class SeveralLines(Planted):
    """Of the operating system; our own errors make one line of it."""

    def fault(self, given):
        def fail():
            raise OSError("number.txt\nis none")

        return refusal(fail, "number.txt")


class Unnamed(Planted):
    def fault(self, given):
        return refusal(lambda: refuse("'x' is no number"), "number.txt")


FAULTS = {
    Segfault: ("crash", "ended by SIGSEGV"),
    Exit: ("crash", "ended with status 3"),
    Hang: ("hang", "in fault"),
    HangInC: ("hang", "ended by SIGABRT"),
    Memory: ("memory", "ended by SIGABRT"),
    BriefMemory: ("memory", ""),
    Error: ("error", "KeyError: 'missing'"),
    SeveralLines: ("broken", "has several lines"),
    Unnamed: ("broken", "does not name number.txt"),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Of 25 cases of each planted fault."""
    targets = {fault.__name__: fault for fault in FAULTS}
    plan = Plan(targets, {"files": 1}, cases=GOOD + 5)
    folder = tmp_path_factory.mktemp("fuzz")
    findings = Findings(folder / "found", "again {target} {number}")
    found = []
    limits = {"patience": 8, "largest": 1200, "workers": 2}
    for outcome in run_campaign(targets, plan.next_task, folder / "work", preload=[PRELOAD], **limits):
        found.append(outcome)
        if outcome.is_finding:
            findings.add(outcome)
    return found, findings


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_and_the_rest_goes_on(outcomes, fault):
    all_, findings = outcomes
    mine = [outcome for outcome in all_ if outcome.target == fault.__name__]
    assert sorted(outcome.number for outcome in mine) == list(range(GOOD + 5))
    kind, text = FAULTS[fault]
    (found,) = [outcome for outcome in mine if outcome.is_finding]
    assert (found.number, found.kind) == (GOOD, kind) and text in found.text
    others = sorted((outcome.number, outcome.kind) for outcome in mine if outcome.number < GOOD)
    assert others == [(number, "refused" if number % 2 else "accepted") for number in range(GOOD)]
    kept = findings.folder / f"{fault.__name__}-{GOOD}"
    assert (kept / "number.txt").read_text() == str(GOOD)
    assert f"again {fault.__name__} {GOOD}" in (kept / "report.txt").read_text()


@pytest.mark.slow
def test_findings_of_one_cause_are_one_line(outcomes):
    all_, _ = outcomes
    (one,) = [outcome for outcome in all_ if outcome.is_finding and outcome.target == "Unnamed"]
    other = one._replace(text=one.text.replace("'x' is no number", "'other' is no number"), number=7)
    assert other.text != one.text and sign_of(one) == sign_of(other)


@pytest.mark.parametrize("name", [name for name in TARGETS if name != "server"])
def test_a_case_is_made_again_from_its_number(tmp_path, name):
    made = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        target = TARGETS[name](folder)
        made.append([target.mutate(Random(number)) for number in range(30)])
        target.close()
    if name in ("exports", "stores", "candidates"):  # they hold paths and times
        assert [[*files] for files in made[0]] == [[*files] for files in made[1]]
    else:
        assert made[0] == made[1]
    assert len({str(files) for files in made[0]}) > 25


def test_damage_differs_by_the_source_of_chance_alone():
    sound = b"NDims = 2\nDimSize = 16 12\nElementDataFile = LOCAL\n" + bytes(range(64))
    made = [mutate(sound, Random(number), (b"NDims = 3",), (sound[::-1],)) for number in range(200)]
    assert made == [mutate(sound, Random(number), (b"NDims = 3",), (sound[::-1],)) for number in range(200)]
    assert len(set(made)) > 150 and any(b"NDims = 3\nDimSize" in data for data in made)
    listed = {"points": [[1, 2]], "labels": [1]}
    texts = [mutate_json(listed, Random(number)) for number in range(200)]
    assert texts == [mutate_json(listed, Random(number)) for number in range(200)] and len(set(texts)) > 150
    assert listed == {"points": [[1, 2]], "labels": [1]}


@pytest.mark.slow
def test_nothing_is_found(tmp_path, capsys):
    """A few hundred cases over all targets; `make fuzz` is the long way."""
    status = main(["--cases", "25", "--workers", "1", "--output", str(tmp_path / "fuzz")])
    said = capsys.readouterr().out
    assert status == 0, said
    assert all(name in said for name in TARGETS) and "0 findings" in said


def test_words_stay_as_they_are():
    """Else a case is not made again from its number, and a word that was put into itself has no end."""
    words = [[1, [2]], {"x": [3]}]
    for number in range(3000):
        mutate_json({"points": [[1, 2], [3, 4]]}, Random(number), words)
    assert words == [[1, [2]], {"x": [3]}]
