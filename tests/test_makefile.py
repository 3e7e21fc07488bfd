"""The Makefile finds a Python by itself, or says in one line that there is none."""

import os
import shlex
import shutil
import subprocess

import pytest

from tests.integration.commands import ROOT

ALONE = {"PATH": os.environ["PATH"]}
"""Environment of a make that says nothing of the make that runs the tests."""


def make(tmp_path, versions, *arguments):
    """``make -n`` where only these Pythons can be found."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for tool in ("make", "sh"):
        (commands / tool).symlink_to(shutil.which(tool))
    for version, status in versions.items():
        python = commands / f"python{version}"
        python.write_text(f"#!/bin/sh\nexit {status}\n")
        python.chmod(0o755)
    line = ["make", "-n", "test", "VENV=nowhere", *arguments]
    return subprocess.run(line, cwd=ROOT, env={"PATH": str(commands)}, capture_output=True, text=True)


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize(
    "versions, arguments, chosen",
    [
        ({"3.11": 0, "3.12": 0, "3.13": 0, "3.14": 0}, (), "python3.13"),
        ({"3.11": 0, "3.12": 0, "3.13": 127}, (), "python3.12"),
        ({"3.11": 0}, ("PYTHON=/opt/own/python",), "/opt/own/python"),
    ],
)
def test_the_newest_python_that_works_is_taken(tmp_path, versions, arguments, chosen):
    assert f"{chosen} -m venv nowhere" in make(tmp_path, versions, *arguments).stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_without_a_python_one_line_says_so(tmp_path):
    done = make(tmp_path, {"3.10": 0, "3.14": 0})
    assert done.returncode != 0
    assert "no Python from 3.11 to 3.13" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize(
    "words, line",
    [
        (("infer",), "make infer IMAGE="),
        (("demo", "DATA=scans", "SOURCE=a", "TARGET=b"), "make comparison DATA="),
    ],
)
def test_what_is_missing_or_meant_is_said_in_one_line(words, line):
    done = subprocess.run(["make", "-n", "INSTALLED=", *words], cwd=ROOT, env=ALONE, capture_output=True, text=True)
    assert done.returncode != 0 and done.stdout == ""
    assert line in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_an_image_may_have_spaces_in_its_name():
    done = subprocess.run(
        ["make", "-n", "INSTALLED=", "infer", "IMAGE=my scans/a b.tif", "PIXEL_SIZE=8", "RESUME=1"],
        cwd=ROOT,
        env=ALONE,
        capture_output=True,
        text=True,
    )
    assert shlex.split(done.stdout)[2:] == ["scripts.infer", "my scans/a b.tif", "--pixel-size", "8", "--resume"]
