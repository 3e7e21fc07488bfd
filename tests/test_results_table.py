import json

import pytest

from scripts.results_table import main


def write_run(folder, seed, dice, **further):
    means = {"dice": dice, "iou": 0.5, "aji": 0.4, "pq": 0.3, **further}
    learnt = {"automatic": means, "interactive": means, "judgements": 60, "annotation_seconds": 180.0}
    rows = {"uda": {"automatic": means}, "wda_15+lpo": learnt}
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps({"source": "a", "target": "b", "seed": seed, "rows": rows}))
    return str(folder)


def test_seeds_are_averaged_and_shown(tmp_path, capsys):
    assert main([write_run(tmp_path / "one", 1, 0.6), write_run(tmp_path / "zero", 0, 0.8)]) == 0
    table = capsys.readouterr().out
    assert "### a -> b, seeds 0, 1" in table
    assert "| uda | automatic | 0.700 | 0.800 / 0.600 | 0.500 | 0.400 | 0.300 |  |  |" in table
    assert "| wda_15+lpo | automatic | 0.700 | 0.800 / 0.600 | 0.500 | 0.400 | 0.300 | 60 | 3 |" in table
    assert "| wda_15+lpo | interactive | 0.700 | 0.800 / 0.600 | 0.500 | 0.400 | 0.300 |  |  |" in table


def test_columns_that_all_runs_have(tmp_path, capsys):
    """Those of a former version have no precision; only images that were resampled have scores of their own pixels."""
    new = write_run(tmp_path / "new", 0, 0.8, precision=0.9, recall=0.7, native_dice=0.75)
    assert main([new]) == 0
    table = capsys.readouterr().out
    assert "| IoU | AJI | PQ | precision | recall | Dice at the input's pixels | judgements |" in table
    assert "| uda | automatic | 0.800 | 0.800 | 0.500 | 0.400 | 0.300 | 0.900 | 0.700 | 0.750 |  |  |" in table
    header, rule = table.splitlines()[2:4]
    assert header.count("|") == rule.count("|")
    assert main([new, write_run(tmp_path / "old", 1, 0.6)]) == 0
    assert "| IoU | AJI | PQ | judgements |" in capsys.readouterr().out


def test_a_folder_without_results_is_one_line(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.strip() == f"error: {tmp_path / 'metrics.json'}: no such file"


def test_no_folder_is_refused():
    with pytest.raises(SystemExit):
        main([])
