"""Small file systems of their own, for tests of full disks and of power failures."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def need_loop_disks(folder: Path) -> None:
    """Skip the test, in so many words, where no image file can be mounted: that takes root and loop devices."""
    try:
        with loop_disk(folder / "probe.img", folder / "probe"):
            return
    except (OSError, subprocess.CalledProcessError) as error:
        told = getattr(error, "stderr", None) or str(error)
        pytest.skip(f"NOT TESTED here, for no ext4 image can be mounted (root and loop devices are needed): {told}")


@contextmanager
def loop_disk(image: Path, folder: Path, mebibytes: int = 8) -> Iterator[Path]:
    """Mount an ext4 file system from an image file, which is made if it is not there.

    Args:
        image: the file.
        folder: where to mount it; made if it is not there.
        mebibytes: size of a new one.

    Yields:
        ``folder``.
    """
    if not image.exists():
        with image.open("wb") as file:
            file.truncate(mebibytes << 20)
        _call("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
    folder.mkdir(exist_ok=True)
    _call("mount", "-o", "loop", str(image), str(folder))
    try:
        yield folder
    finally:
        _call("umount", "--lazy", str(folder))  # an error that is kept may keep a file open


def fill(folder: Path, left: int = 0) -> None:
    """Take the free space of a file system but for so many bytes, in the file ``ballast`` of the folder."""
    free = os.statvfs(folder)
    with (folder / "ballast").open("wb", buffering=0) as file:
        if left:
            file.write(bytes(max(0, free.f_bavail * free.f_bsize - left)))
            return
        for block in (1 << 16, 1 << 10, 1):
            try:
                while file.write(bytes(block)) == block:
                    pass
            except OSError:
                continue


def _call(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
