"""What was acknowledged is there after a power failure.

A writer works on a small ext4 file system in an image file. At a random acknowledgement it is stopped, and the image
file is copied: what the file system has not sent to its device by then is not in the copy, as after a power failure.
The copy is mounted, which replays its journal, and everything that was acknowledged must be in it.

What this cannot show: the copy holds all that was sent to the device, also what a real disk could still have in a
cache of its own. That the file system flushes such a cache at a sync, in the right order, is taken for granted.
"""

import functools
import os
import random
import shutil
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from bundle.atomic import make_folder, new_folder, replacing
from bundle.data.points import read_points
from bundle.preferences.store.judgement_store import Candidate, Judgement, JudgementStore, Question
from bundle.preferences.store.saved_clicks import SavedClicks
from tests.loop_disk import loop_disk, need_loop_disks

TRIALS = 50
MOST = 12
"""The writer is stopped at one of its first so many acknowledgements."""
PATIENCE = 60.0

QUESTION = Question(
    "a.png", "hash", "a.npz", (Candidate("a", "0"), Candidate("b", "1")), "image", 0, (0, 0, 9, 9), "model", 1.0
)


class Kind(NamedTuple):
    """Something that is acknowledged."""

    write: Callable[[Path], Iterator[str]]
    """Write to a file system without end, and yield after each acknowledgement what identifies it."""
    there: Callable[[Path], Counter[str]]
    """How often what was acknowledged is there."""


def write_votes(disk: Path) -> Iterator[str]:
    make_folder(disk / "runs" / "prefer")
    with JudgementStore(disk / "runs" / "prefer" / "preferences.sqlite") as store:
        store.open_questions([QUESTION])
        while True:
            judgement = Judgement(QUESTION, 1, "person:ada", 0.5)
            assert store.add(judgement)
            yield judgement.uid


def votes_there(disk: Path) -> Counter[str]:
    with JudgementStore(disk / "runs" / "prefer" / "preferences.sqlite", create=False) as store:
        return Counter(judgement.uid for judgement in store.history())


def write_clicks(disk: Path) -> Iterator[str]:
    """Click after click on one image, each in the store and in the points file when it is acknowledged."""
    with JudgementStore(disk / "preferences.sqlite") as store:
        saved = SavedClicks(store, disk / "points.json", disk, ["a.png"])
        version, pixels = 0, {}
        for number in range(1 << 10):
            pixels[number, 0] = 1
            version = saved.save("a.png", pixels, version, "person:ada", f"{number:032x}")
            yield str(number)


def clicks_there(disk: Path) -> Counter[str]:
    with JudgementStore(disk / "preferences.sqlite", create=False) as store:
        stored = [record.x for record in store.clicks.history()]
    exported = [x for x, _ in read_points(disk / "points.json", ["a.png"]).clicks["a.png"].points]
    assert set(exported) <= set(stored)  # the last one may be in the store alone, and was not acknowledged then
    return Counter(map(str, stored)) & Counter(map(str, exported))


def write_files(disk: Path) -> Iterator[str]:
    """New files and replaced ones by turns, in folders that are new too."""
    for number in range(1 << 20):
        folder = disk / f"folder{number % 3}" / "below"
        make_folder(folder)
        with replacing(folder / "a.txt") as partial:
            partial.write_text(f"{number}\n" * 2000)
        yield str(number)


def files_there(disk: Path) -> Counter[str]:
    return _versions(disk.glob("folder*/below/a.txt"), 3)


def write_folders(disk: Path) -> Iterator[str]:
    """New folders and replaced ones by turns."""
    for number in range(1 << 20):
        with new_folder(disk / "domains" / f"domain{number % 2}") as folder:
            (folder / "images").mkdir()
            for name in ("datalist.json", "images/a.png"):
                (folder / name).write_text(f"{number}\n" * 2000)
        yield str(number)


def folders_there(disk: Path) -> Counter[str]:
    domains = list(disk.glob("domains/domain*"))
    files = [domain / name for domain in domains for name in ("datalist.json", "images/a.png")]
    first, second = (_versions(part, 2) for part in (files[::2], files[1::2]))
    assert first == second, "parts of two folders in one"
    return first


def _versions(files: Iterator[Path] | list[Path], places: int) -> Counter[str]:
    """The numbers in files of which every ``places``-th takes the place of one before, which is there with it."""
    found: Counter[str] = Counter()
    for file in files:
        lines = file.read_text().splitlines()
        assert len(lines) == 2000 and len(set(lines)) == 1, f"{file} is no whole file"
        found.update(str(number) for number in range(int(lines[0]), -1, -places))
    return found


KINDS = {
    "votes": Kind(write_votes, votes_there),
    "clicks": Kind(write_clicks, clicks_there),
    "files": Kind(write_files, files_there),
    "folders": Kind(write_folders, folders_there),
}


def lost_in_a_power_failure(kind: Kind, folder: Path, stop_at: int, prepare: Callable[[], None]) -> list[str]:
    """Do one trial.

    Args:
        kind: what is written.
        folder: empty; the file system and its copy go there.
        stop_at: the acknowledgement at which the power fails.
        prepare: called in the writer's process before it begins.

    Returns:
        What was acknowledged and is not there exactly once.
    """
    with loop_disk(folder / "disk.img", folder / "disk", mebibytes=8) as disk:
        acknowledged = _acknowledged(kind, disk, stop_at, prepare, folder)
    with loop_disk(folder / "copy.img", folder / "copy") as disk:
        try:
            found = kind.there(disk)
        except (AssertionError, ValueError, OSError):
            found = Counter()
    assert len(acknowledged) >= stop_at
    return [one for one in acknowledged if found[one] != 1]


def _acknowledged(kind: Kind, disk: Path, stop_at: int, prepare: Callable[[], None], folder: Path) -> list[str]:
    reading, writing = os.pipe()
    writer = os.fork()
    if not writer:
        try:
            os.close(reading)
            prepare()
            for one in kind.write(disk):
                os.write(writing, f"{one}\n".encode())
        finally:
            os._exit(1)
    os.close(writing)
    try:
        with os.fdopen(reading, "rb", buffering=0) as acknowledgements:
            said, end = b"", time.monotonic() + PATIENCE
            while said.count(b"\n") < stop_at:
                part = acknowledgements.read(1 << 12)
                assert part, "the writer ended"
                assert time.monotonic() < end, "the writer is too slow"
                said += part
            os.kill(writer, signal.SIGSTOP)
            os.waitpid(writer, os.WUNTRACED)
            shutil.copyfile(folder / "disk.img", folder / "copy.img")
            os.set_blocking(acknowledgements.fileno(), False)
            while part := acknowledgements.read(1 << 12):  # what it said before it was stopped
                said += part
    finally:
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
    return said.decode().rpartition("\n")[0].splitlines()


def nothing_is_synced() -> None:
    """In a writer of the control: what makes the difference is left out."""

    class Unsynced(sqlite3.Connection):
        def executescript(self, sql):
            return super().executescript(sql.replace("synchronous = FULL", "synchronous = OFF"))

    os.fsync = lambda opened: None
    sqlite3.connect = functools.partial(sqlite3.connect, factory=Unsynced)


@pytest.fixture
def trial(tmp_path):
    need_loop_disks(tmp_path)

    def run(kind, number, prepare=lambda: None):
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            return lost_in_a_power_failure(KINDS[kind], folder, random.Random(number).randint(1, MOST), prepare)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    return run


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_acknowledged_is_lost(trial, kind):
    lost = {number: found for number in range(TRIALS) if (found := trial(kind, number))}
    assert not lost


@pytest.mark.parametrize("kind", KINDS)
def test_without_syncing_something_is_lost(trial, kind):
    """Else the test above could not fail."""
    assert any(trial(kind, number, nothing_is_synced) for number in range(TRIALS))
