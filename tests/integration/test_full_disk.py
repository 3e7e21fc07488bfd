"""Commands on a disk that is full: one line, and no result that is not whole."""

import shutil
from pathlib import Path

import pytest

from bundle import preflight
from bundle.metrics import SCORES
from scripts import compare
from scripts.comparison.cells import Cells
from scripts.comparison.report import Row, write_overview, write_report
from tests.integration.commands import EVALUATE, NETWORK, run_here
from tests.loop_disk import fill, loop_disk, need_loop_disks


@pytest.fixture
def disk(tmp_path):
    need_loop_disks(tmp_path)
    with loop_disk(tmp_path / "a.img", tmp_path / "disk") as folder:
        yield folder


def line(run):
    """The line of a command that fails."""
    with pytest.raises(Exception) as caught:
        run()
    told = preflight.explain(caught.value)
    assert told and "\n" not in told
    return told


@pytest.mark.parametrize("room", [0, 3000])
def test_inference(domain_pair, source_weights, in_root, disk, room):
    (disk / "out").mkdir()
    fill(disk, room)
    settings = {"dataset_dir": domain_pair.target, "output_dir": disk / "out", "checkpoint": source_weights}
    told = line(lambda: run_here(["configs/inference.json"], **NETWORK, **{k: str(v) for k, v in settings.items()}))
    assert "cannot be written (No space left on device); free some space and run it again" in told
    assert str(disk / "out" / "test_") in told
    assert not [path for path in (disk / "out").iterdir() if not path.stat().st_size or path.name.startswith(".")]


def test_evaluation(domain_pair, source_weights, in_root, disk):
    (disk / "out" / "pictures").mkdir(parents=True)
    fill(disk)
    settings = {
        "source_dir": domain_pair.source,
        "dataset_dir": domain_pair.target,
        "output_dir": disk / "out",
        "checkpoint": source_weights,
    }
    told = line(lambda: run_here(EVALUATE, **{name: str(value) for name, value in settings.items()}))
    assert told.startswith(f"{disk}/out/") and "cannot be written (No space left on device)" in told
    assert not [path for path in (disk / "out").rglob("*") if path.is_file()]


def test_report(tmp_path, disk, domain_pair):
    pictures = tmp_path / "row" / "pictures"
    pictures.mkdir(parents=True)
    for kind in ("image", "truth", "automatic"):
        shutil.copy(domain_pair.target / "images" / "test_0.png", pictures / f"a_{kind}.png")
    rows = [Row("row", tmp_path / "row", {"automatic": dict.fromkeys(SCORES, 0.5)})]
    fill(disk)
    for write, name in (
        (lambda: write_report(disk, "title", rows), "report.html"),
        (lambda: write_overview(disk, rows, ("row",)), "overview.png"),
    ):
        assert line(write).startswith(f"{disk}/{name}: cannot be written (No space left on device)")
        assert not (disk / name).exists()


def test_a_command_that_could_not_say_why_it_failed(disk, monkeypatch):
    def run(_arguments, log, threads):
        fill(disk)
        return 1

    monkeypatch.setattr("scripts.comparison.cells.run_bundle", run)
    cells = Cells(["none.json"], {}, 1)
    told = line(lambda: cells.bundle(Path(disk / "a.pt"), "training", ("train.json",)))
    assert told.startswith(f"{disk}/a.log: cannot be written (No space left on device)")


def test_comparison(disk, monkeypatch, capsys):
    fill(disk)
    monkeypatch.setattr("sys.argv", ["compare.py", "--run", str(disk / "run")])
    assert compare.main() == 1
    told = capsys.readouterr().err.splitlines()
    assert told[-1].startswith("error: ") and "cannot be written (No space left on device)" in told[-1]
