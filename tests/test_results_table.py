import json

import pytest

from scripts.results_table import main


def write_run(folder, seed, dice):
    means = {"dice": dice, "iou": 0.5, "aji": 0.4, "pq": 0.3}
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


def test_a_folder_without_results_is_one_line(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.strip() == f"error: {tmp_path / 'metrics.json'}: no such file"


def test_no_folder_is_refused():
    with pytest.raises(SystemExit):
        main([])
