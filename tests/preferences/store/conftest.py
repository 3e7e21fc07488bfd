import os
import shutil
import subprocess

import pytest


@pytest.fixture
def read_only(tmp_path):
    """Makes a folder that cannot be written, out of files; on a disk of its own where root would be let in."""
    folder = tmp_path / "read_only"
    folder.mkdir()
    if os.geteuid() == 0:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(folder)], capture_output=True)
        if mounted.returncode:
            pytest.skip("root may write everywhere, and may not mount a disk here")

    def lock(*files):
        for file in files:
            shutil.copy(file, folder)
        if os.geteuid() == 0:
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        else:
            folder.chmod(0o555)
        return folder

    yield lock
    if os.geteuid() == 0:
        subprocess.run(["umount", "-l", str(folder)], check=True)
    else:
        folder.chmod(0o755)
