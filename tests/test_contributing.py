"""CONTRIBUTING.md names files that are there, and no change of its ten takes more than four."""

import re

import pytest

from tests.integration.commands import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
ROWS = re.findall(r"^\| (.+?) \| (`.+) \|$", TEXT.partition("## Ten changes on paper")[2], re.MULTILINE)
WANTED = [
    "volume",
    "second class",
    "encoder",
    "candidate",
    "preference loss",
    "file format",
    "regions",
    "metric",
    "shortcut",
    "preset",
]


@pytest.mark.parametrize(("change", "files"), ROWS, ids=[change for change, _ in ROWS])
def test_a_change_takes_at_most_four_files_that_can_be_found(change, files):
    named = re.findall(r"`([^`]+)`( \(new\))?", files)
    assert 1 <= len(named) <= 4, f"{change}: {len(named)} files"
    for file, new in named:
        place = ROOT / file
        if new:
            # a new file goes into a folder that is there, or opens a new room in one
            assert place.parent.is_dir() or place.parent.parent.is_dir(), f"{change}: no folder for {file}"
        else:
            assert place.is_file(), f"{change}: {file} is not there"


def test_the_ten_changes():
    assert len(ROWS) == len(WANTED)
    for wanted, (change, _) in zip(WANTED, ROWS, strict=True):
        assert wanted in change


def test_the_house_in_ten_lines_names_each_room():
    house = TEXT.partition("## The house in ten lines")[2].partition("\n## ")[0]
    assert len(re.findall(r"^\d+\. ", house, re.MULTILINE)) == 10
    rooms = {path.parent.name for path in (ROOT / "bundle").glob("*/__init__.py")} - {"atomic", "synthetic"}
    assert [room for room in sorted(rooms) if room not in house] == []
