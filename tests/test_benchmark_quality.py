"""The quality of several pairs and seeds. Their commands are stood in for: each writes what it would end with."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundle.preflight import parse_command
from bundle.synthetic.generator import write_domain
from scripts.benchmark import main
from scripts.comparison import cells

METRICS = ("dice", "iou", "aji", "pq")


@pytest.fixture
def commands(monkeypatch):
    """The commands so far. An evaluation finds a Dice of 0.5 to 0.8 by row and seed."""
    made = []

    def stand_in(arguments, log, threads):
        settings = parse_command(arguments[2:])
        made.append(settings)
        if arguments[1] == "evaluating":
            folder = Path(settings["output_dir"])
            (folder / "pictures").mkdir(parents=True)
            for kind in ("image", "truth", "automatic"):
                Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "pictures" / f"a_{kind}.png")
            dice = {"source_only": 0.5, "uda": 0.6, "supervised": 0.8}[folder.name] + settings["seed"] / 100
            header, row = ",".join(("image", "mode", *METRICS)), ",".join(["mean", "automatic", *[str(dice)] * 4])
            (folder / "metrics.csv").write_text(f"{header}\n{row}\n")
        else:
            Path(settings["checkpoint"]).write_bytes(b"")
        return 0

    monkeypatch.setattr(cells, "run_bundle", stand_in)
    return made


def arguments(folder, *more):
    for name in ("synthetic-a", "synthetic-b"):
        if not (folder / "data" / name).is_dir():
            write_domain(folder / "data" / name, name, train=2, test=1, shape=(64, 64))
    sizes = ["--source-pixel-size", "20", "--target-pixel-size", "20", "--jobs", "1"]
    pairs = ["--pairs", "synthetic-a:synthetic-b", "synthetic-b:synthetic-a", "--seeds", "0", "1"]
    rows = ["--rows", "source_only", "uda", "supervised"]
    to = ["--json", str(folder / "quality.json"), "--run", str(folder / "run")]
    return ["quality", *to, *pairs, *more, "--", "--data", str(folder / "data"), *sizes, *rows]


def test_means_over_seeds_of_each_pair_and_networks_of_one_domain_once(tmp_path, commands):
    assert main(arguments(tmp_path)) == 0
    results = json.loads((tmp_path / "quality.json").read_text())
    for pair in ("synthetic-a -> synthetic-b", "synthetic-b -> synthetic-a"):
        assert results[f"{pair}: uda"] == pytest.approx(0.605)
        assert results[f"{pair}: supervised sd"] == pytest.approx(np.std([0.8, 0.81], ddof=1))
    trained = [command["checkpoint"] for command in commands if "configs/source.json" in command["config_file"]]
    assert len(trained) == len(set(trained)) == 4  # two domains, two seeds
    assert len(commands) == 4 + 4 * (1 + 3)
    table = (tmp_path / "run" / "table.md").read_text()
    assert table.count("| uda | automatic | 0.605 | 0.600 / 0.610 |") == 2
    assert (tmp_path / "run" / "synthetic-a-synthetic-b" / "report.html").is_file()
    commands.clear()
    assert main(arguments(tmp_path)) == 0
    assert commands == []


def test_what_is_wrong_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(arguments(tmp_path, "--pairs", "vnc"))
    assert "vnc is not SOURCE:TARGET" in capsys.readouterr().err
    assert main([*arguments(tmp_path), "no-row"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("benchmark: --rows no-row: expected some of source_only") and error.count("\n") == 1
