import sys

import numpy as np
from PIL import Image

from scripts import synthetic_gallery
from scripts.synthetic_gallery import GRAYS, OUTLINE, SHARES


def run(monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", ["synthetic_gallery", *map(str, options)])
    return synthetic_gallery.main()


def test_twelve_styles_with_outlines_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic_gallery, "SHAPE", (64, 80))
    assert run(monkeypatch, "--output", tmp_path / "new" / "gallery.png", "--pixel-size", 30) == 0
    picture = Image.open(tmp_path / "new" / "gallery.png")
    assert sum(SHARES.values()) == 12
    assert picture.size == (4 * 82, 3 * 66)
    indices = np.array(picture)
    assert (indices == GRAYS).any()
    assert tuple(np.array(picture.convert("RGB"))[indices == GRAYS][0]) == OUTLINE
    tiles = [indices[row : row + 64, column : column + 80] for row in (0, 66, 132) for column in (0, 82, 164, 246)]
    assert len({tile.tobytes() for tile in tiles}) == 12


def test_a_number_that_cannot_be_used_is_one_line(tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "--output", tmp_path / "gallery.png", "--pixel-size", 0) == 1
    assert "pixel_size" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
