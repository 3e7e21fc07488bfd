import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from skimage.io import imsave

from bundle.atomic import finish_replacing, new_folder
from bundle.atomic import folder as module
from bundle.data.domain_folder import load_domain
from bundle.errors import StorageError
from scripts.prepare_data import main
from tests.loop_disk import fill, loop_disk, need_loop_disks


def write(folder, content):
    with new_folder(folder) as partial:
        (partial / "images").mkdir()
        for name in ("datalist.json", "images/a.png"):
            (partial / name).write_text(content)


def content_of(folder):
    found = [path.read_text() for path in folder.rglob("*") if path.is_file()]
    assert len(found) == 2 and found[0] == found[1], found
    return found[0]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def replace_and_die(output, number, exchange):
    """Replace a folder in a process of its own that is killed at a step; returns whether it got through."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    left = iter(range(number - 1, -1, -1))

    def step():
        if next(left, -1) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(event, arguments):
        changes = event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "fcntl.flock")
        if changes or (event == "open" and str(output.parent) in str(arguments[0])):
            step()

    real_sync, real_exchange = os.fsync, module._exchange
    os.fsync = lambda opened: (step(), real_sync(opened), step())
    module._exchange = lambda one, other: exchange and (step(), real_exchange(one, other), step())[1]
    sys.addaudithook(audit)
    try:
        finish_replacing(output)
        write(output, "new")
        os._exit(0)
    finally:
        os._exit(1)


def states_after_kills(output, exchange):
    """Kill at the first step, the second and so on until it gets through; what a reader finds after each."""
    states = []
    for number in range(1, 500):
        write(output, "old")
        if replace_and_die(output, number, exchange):
            return states
        states.append(content_of(output) if output.exists() else "missing")
        finish_replacing(output)
        assert names(output.parent) == ["out"] and content_of(output) in ("old", "new")
    raise AssertionError("it never gets through")


def test_killed_at_each_step_the_old_folder_is_there_or_the_new_one(tmp_path):
    states = states_after_kills(tmp_path / "out", exchange=True)
    assert len(states) > 20 and set(states) == {"old", "new"}


def test_where_names_cannot_be_exchanged_the_old_one_is_put_back(tmp_path):
    states = states_after_kills(tmp_path / "out", exchange=False)
    assert len(states) > 20 and set(states) == {"old", "new", "missing"}


def test_the_kernel_exchanges_names(tmp_path):
    """Else the test above of killed runs has tested the other way."""
    write(tmp_path / "a", "old")
    write(tmp_path / "b", "new")
    assert module._exchange(tmp_path / "a", tmp_path / "b")
    assert content_of(tmp_path / "a") == "new" and content_of(tmp_path / "b") == "old"


def test_another_way_where_the_file_system_cannot(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_exchange", lambda one, other: False)
    for content in ("old", "new"):
        write(tmp_path / "out", content)
        assert content_of(tmp_path / "out") == content and names(tmp_path) == ["out"]


def test_all_is_synced_before_it_takes_its_place(tmp_path, monkeypatch):
    synced, real = [], os.fsync
    output = tmp_path / "out"

    def watched(opened):
        synced.append((os.fstat(opened).st_ino, output.exists()))
        real(opened)

    monkeypatch.setattr(os, "fsync", watched)
    write(output, "new")
    inside = {path.stat().st_ino for path in (output, *output.rglob("*"))}
    assert {number for number, there in synced if not there} == inside
    assert [number for number, there in synced if there] == [tmp_path.stat().st_ino]


def test_a_live_run_is_left_alone(tmp_path):
    with new_folder(tmp_path / "out") as partial:
        (partial / "a").write_text("half")
        finish_replacing(tmp_path / "out")
        assert (partial / "a").read_text() == "half"
        write(tmp_path / "out", "other")
        assert content_of(tmp_path / "out") == "other"
    assert names(tmp_path / "out") == ["a"] and names(tmp_path) == ["out"]


def test_a_link_to_a_folder_stays_one(tmp_path):
    write(tmp_path / "disk" / "out", "old")
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "out")
    write(tmp_path / "out", "new")
    assert (tmp_path / "out").is_symlink() and content_of(tmp_path / "disk" / "out") == "new"
    assert names(tmp_path / "disk") == ["out"]


def test_a_block_that_fails_leaves_the_old_folder_alone(tmp_path):
    write(tmp_path / "out", "old")
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "out") as partial:
        (partial / "half").write_text("half")
        raise KeyboardInterrupt
    assert names(tmp_path) == ["out"] and content_of(tmp_path / "out") == "old"


@pytest.fixture
def raw(tmp_path):
    """Four noisy images that do not compress, and the command line that prepares them."""
    random, folder = np.random.default_rng(0), tmp_path / "raw" / "train" / "images"
    folder.mkdir(parents=True)
    for number in range(4):
        imsave(folder / f"{number}.png", random.integers(0, 255, (300, 300)).astype(np.uint8), check_contrast=False)
    return lambda output: ["--data", str(tmp_path / "raw"), "--output", str(output), "--pixel-size", "5", "--overwrite"]


@pytest.mark.parametrize("left", [0, 1000, 150_000])
def test_prepare_data_on_a_full_disk(tmp_path, raw, capsys, left):
    need_loop_disks(tmp_path)
    with loop_disk(tmp_path / "a.img", tmp_path / "disk") as disk:
        assert main(raw(disk / "out")) == 0
        before = sorted((path, path.read_bytes()) for path in (disk / "out").rglob("*.*"))
        fill(disk, left)
        capsys.readouterr()
        assert main(raw(disk / "out")) == 2
        told = capsys.readouterr().err
        expected = f"prepare_data: {disk}/out: cannot be written (No space left on device); free some space"
        assert told.splitlines()[-1].startswith(expected) and "Traceback" not in told
        assert sorted((path, path.read_bytes()) for path in (disk / "out").rglob("*.*")) == before
        assert names(disk) == ["ballast", "lost+found", "out"]


def test_prepare_data_on_a_read_only_disk(tmp_path, raw, capsys):
    need_loop_disks(tmp_path)
    with loop_disk(tmp_path / "a.img", tmp_path / "disk") as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert main(raw(disk / "out")) == 2
        assert re.fullmatch(
            r"prepare_data: \S+/out: cannot be written \(Read-only file system\); choose another folder\n",
            capsys.readouterr().err,
        )


def test_prepare_data_puts_a_domain_back(tmp_path, raw, monkeypatch):
    output = tmp_path / "out"
    assert main(raw(output)) == 0
    output.rename(tmp_path / ".out.1-0.replaced")  # where a kill between two renames left it
    (tmp_path / ".out.1-1.partial").mkdir()
    assert main([*raw(output), "--data", str(tmp_path / "nothing")]) == 2
    assert len(load_domain(output, "training")) == 4 and names(tmp_path) == ["out", "raw"]


def test_a_folder_whose_place_cannot_be_taken(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(StorageError, match=r"out: cannot be written"):
        write(tmp_path / "out", "new")
    assert names(tmp_path) == ["out"]
