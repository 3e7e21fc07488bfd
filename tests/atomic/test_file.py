import errno
import fcntl
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import itk
import nibabel
import numpy as np
import pytest
import torch

from bundle.atomic import file as module
from bundle.atomic import make_folder, replacing
from bundle.errors import DataError, StorageError
from tests.integration.commands import ROOT
from tests.loop_disk import fill, loop_disk, need_loop_disks

FIRST, SECOND = "first\n", "second\n"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def call(code, *arguments):
    """A program of a few lines in a process of its own, in the repository's root."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


KILLED = """
import os, signal, sys
from pathlib import Path
from bundle.atomic import replacing
with replacing(Path(sys.argv[1]), *sys.argv[2:]) as partial:
    partial.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def synced(tmp_path, monkeypatch):
    """What is synced, by its inode, and whether ``a.txt`` is there by then."""
    calls, real = [], os.fsync

    def watched(opened):
        calls.append((os.fstat(opened).st_ino, (tmp_path / "a.txt").exists()))
        real(opened)

    monkeypatch.setattr(os, "fsync", watched)
    return calls


def test_content_is_synced_before_the_name_and_the_name_before_the_end(tmp_path, synced):
    with replacing(tmp_path / "a.txt") as partial:
        partial.write_text(FIRST)
    file, folder = (path.stat().st_ino for path in (tmp_path / "a.txt", tmp_path))
    assert synced == [(file, False), (folder, True)]


def test_made_folders_are_synced_into_those_above(tmp_path, synced):
    make_folder(tmp_path / "a" / "b")
    assert {number for number, _ in synced} == {tmp_path.stat().st_ino, (tmp_path / "a").stat().st_ino}
    synced.clear()
    make_folder(tmp_path / "a" / "b")
    assert not synced


def test_a_block_that_fails_leaves_the_old_file_alone(tmp_path):
    (tmp_path / "a.txt").write_text(FIRST)
    for error in (KeyboardInterrupt, ValueError):
        with pytest.raises(error), replacing(tmp_path / "a.txt") as partial:
            partial.write_text("half")
            raise error
    assert names(tmp_path) == ["a.txt"] and (tmp_path / "a.txt").read_text() == FIRST


def test_rights_are_those_of_a_plain_file(tmp_path):
    (tmp_path / "plain").write_text("")
    with replacing(tmp_path / "a.txt") as partial:
        partial.write_text(FIRST)
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_killed_writers_left_is_deleted_by_the_next_process(tmp_path):
    assert call(KILLED, tmp_path / "a.txt").returncode == -9
    assert [name.startswith(".a.txt.") for name in names(tmp_path)] == [True]
    assert call(KILLED, tmp_path / "b.nii.gz", ".nii.gz").returncode == -9
    left = names(tmp_path)
    assert len(left) == 1 and left[0].startswith(".b.nii.gz.") and left[0].endswith(".partial.nii.gz")
    module._tidy.cache_clear()
    with replacing(tmp_path / "c.txt") as partial:
        partial.write_text(FIRST)
    assert names(tmp_path) == ["c.txt"]


def test_what_others_are_writing_is_left_alone(tmp_path):
    others = [".a.txt.1-2.partial", ".other.partial", "a.1-2.partial", ".a.txt.12.swp"]
    for name in others:
        (tmp_path / name).write_text("theirs")
    (tmp_path / ".folder.1-2.partial").mkdir()
    with (tmp_path / others[0]).open() as live:
        fcntl.flock(live, fcntl.LOCK_EX)
        module._tidy.cache_clear()
        with replacing(tmp_path / "a.txt") as partial:
            partial.write_text(FIRST)
    assert names(tmp_path) == sorted([*others, ".folder.1-2.partial", "a.txt"])


def test_a_name_that_is_taken_is_not_written_to(tmp_path, monkeypatch):
    """In two containers, two processes may have one number."""
    taken = tmp_path / f".a.txt.{os.getpid()}-0.partial"
    taken.write_text("theirs")
    monkeypatch.setattr(module, "_NUMBERS", iter(range(5)))
    monkeypatch.setattr(module, "_tidy", lambda folder: None)
    with replacing(tmp_path / "a.txt") as partial:
        partial.write_text(FIRST)
    assert taken.read_text() == "theirs" and (tmp_path / "a.txt").read_text() == FIRST


def test_threads_that_write_one_file_do_not_collide(tmp_path):
    file, together = tmp_path / "a.txt", threading.Barrier(8)

    def write(letter):
        together.wait()
        for _ in range(25):
            with replacing(file) as partial:
                partial.write_text(letter * 10_000)
            assert len(set(file.read_text())) == 1 and file.stat().st_size == 10_000

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, "abcdefgh"))
    assert names(tmp_path) == ["a.txt"]


def test_writing_and_tidying_at_once(tmp_path):
    """A file that is tidied away between being made and being locked is made again."""
    stop = threading.Event()

    def tidy():
        while not stop.is_set():
            module._tidy.__wrapped__(tmp_path)

    tidying = threading.Thread(target=tidy)
    tidying.start()
    try:
        for number in range(300):
            with replacing(tmp_path / "a.txt") as partial:
                partial.write_text(str(number))
            assert (tmp_path / "a.txt").read_text() == str(number)
    finally:
        stop.set()
        tidying.join()


def test_without_locks_files_are_written_and_nothing_is_tidied(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / ".a.txt.1-2.partial").write_text("perhaps of another machine")
    module._tidy.cache_clear()
    with replacing(tmp_path / "a.txt") as partial:
        partial.write_text(FIRST)
    assert names(tmp_path) == [".a.txt.1-2.partial", "a.txt"]


def test_folders_that_cannot_be_synced_hold_nobody_up(tmp_path, monkeypatch):
    real = os.fsync

    def sync_files_alone(opened):
        if os.path.isdir(f"/proc/self/fd/{opened}"):  # noqa: PTH112
            raise OSError(errno.EINVAL, "invalid")
        real(opened)

    monkeypatch.setattr(os, "fsync", sync_files_alone)
    with replacing(tmp_path / "a.txt") as partial:
        partial.write_text(FIRST)
    assert (tmp_path / "a.txt").read_text() == FIRST


def test_a_failed_sync_is_no_success(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text(FIRST)

    def fail(_opened):
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError, match=r"a\.txt: .*Input/output"), replacing(tmp_path / "a.txt") as partial:
        partial.write_text(SECOND)
    assert names(tmp_path) == ["a.txt"] and (tmp_path / "a.txt").read_text() == FIRST


def test_missing_folder_gets_one_line_with_the_right_name(tmp_path):
    with pytest.raises(StorageError) as caught, replacing(tmp_path / "nowhere" / "a.txt"):
        pass
    assert str(caught.value).startswith(f"{tmp_path}/nowhere/a.txt: cannot be written (No such file or directory)")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file/below: cannot be written"):
        make_folder(tmp_path / "file" / "below")


def test_errors_about_other_files_and_of_the_program_are_passed_on(tmp_path):
    for error in (FileNotFoundError(2, "no", str(tmp_path / "input.png")), DataError("bad"), RuntimeError("fault")):
        with pytest.raises(type(error)) as caught, replacing(tmp_path / "a.txt"):
            raise error
        assert caught.value is error
    assert names(tmp_path) == []


PIXELS = np.random.default_rng(0).integers(0, 255, (600, 600)).astype(np.uint8)


def _itk(path):
    itk.imwrite(itk.image_view_from_array(PIXELS), str(path), compression=True)


WRITERS = {
    ".png": _itk,
    ".tif": _itk,
    ".nrrd": _itk,
    ".mha": _itk,
    ".nii.gz": lambda path: nibabel.save(nibabel.Nifti1Image(PIXELS, np.eye(4)), path),
    ".pt": lambda path: torch.save(torch.from_numpy(PIXELS), path),
    ".txt": lambda path: path.write_bytes(PIXELS.tobytes()),
}


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("left", [0, 60_000])
def test_full_disk_gets_one_line_whoever_writes(tmp_path, suffix, left):
    need_loop_disks(tmp_path)
    with loop_disk(tmp_path / "a.img", tmp_path / "disk") as disk:
        file = disk / f"a{suffix}"
        file.write_text(FIRST)
        fill(disk, left)
        with pytest.raises(StorageError) as caught, replacing(file, suffix) as partial:
            WRITERS[suffix](partial)
        assert str(caught.value) == (
            f"{file}: cannot be written (No space left on device); free some space and run it again"
        )
        assert file.read_text() == FIRST and names(disk) == sorted([file.name, "ballast", "lost+found"])


def test_read_only_disk_gets_one_line(tmp_path):
    need_loop_disks(tmp_path)
    with loop_disk(tmp_path / "a.img", tmp_path / "disk") as disk:
        (disk / "a.txt").write_text(FIRST)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        for write in (lambda: replacing(disk / "a.txt").__enter__(), lambda: make_folder(disk / "b")):
            with pytest.raises(StorageError, match=r"\(Read-only file system\); choose another folder"):
                write()


LIMITED = """
import resource, sys, torch
from pathlib import Path
from bundle.errors import StorageError
from bundle.atomic import replacing
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
try:
    with replacing(Path(sys.argv[1])) as partial:
        torch.save(torch.rand(1 << 18), partial)
except StorageError as error:
    print(error)
"""


def test_a_file_that_is_too_large_gets_one_line(tmp_path):
    done = call(LIMITED, tmp_path / "a.pt")
    assert done.stdout.startswith(f"{tmp_path}/a.pt: cannot be written (File too large)"), done.stderr
    assert done.stdout.count("\n") == 1 and names(tmp_path) == []
