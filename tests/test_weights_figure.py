import sys

import numpy as np
from PIL import Image

from scripts import weights_figure
from tests.integration.commands import ROOT


def run(monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", ["weights_figure", *map(str, options)])
    return weights_figure.main()


def test_images_stand_above_what_is_found_in_them(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(weights_figure, "SHAPE", (64, 80))
    monkeypatch.setattr(weights_figure, "NUMBER", 4)
    assert run(monkeypatch, "--output", tmp_path / "new" / "figure.png", "--work", tmp_path / "work") == 0
    picture = Image.open(tmp_path / "new" / "figure.png")
    assert picture.size == (4 * 82, 2 * 66)
    colours = np.array(picture.convert("RGB")).astype(int)
    assert np.ptp(colours[:64], axis=-1).max() <= 8  # gray, but for the palette
    assert np.ptp(colours[66:130], axis=-1).max() > 50


def test_weights_that_are_not_there_are_one_line(tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "--checkpoint", tmp_path / "none.pt", "--output", tmp_path / "figure.png") == 1
    assert "none.pt" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
