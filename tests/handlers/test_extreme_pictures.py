from types import SimpleNamespace

import numpy as np
import torch
from monai.data import MetaTensor
from PIL import Image

from bundle import keys
from bundle.handlers.evaluation_pictures import AGREED, MISSED
from bundle.handlers.extreme_pictures import ExtremePictures

WIDTH, HEIGHT = 12, 8


def item(name, found, mode="automatic", real=8):
    """The truth fills the first columns of an image, the mask some of them."""
    truth, mask = torch.zeros(1, WIDTH, HEIGHT), torch.zeros(1, WIDTH, HEIGHT)
    truth[:, :real], mask[:, :found] = 1, 1
    image = MetaTensor(torch.zeros(3, WIDTH, HEIGHT), meta={"filename_or_obj": f"/data/{name}.png"})
    return {keys.IMAGE: image, keys.LABEL: truth, keys.MODE: mode}, {keys.PRED: mask}


def drawn(folder, items, count):
    handler = ExtremePictures(folder, count=count, scale=1)
    for batch, output in items:
        handler.collect(SimpleNamespace(state=SimpleNamespace(batch=[batch], output=[output])))
    handler.draw(None)
    return sorted(path.name for path in (folder / "extremes").iterdir())


def test_worst_and_best_of_the_automatic_masks(tmp_path):
    given = [item("half", 4), item("all", 8), item("none", 0), item("most", 6), item("clicked", 1, "interactive")]
    names = drawn(tmp_path, [*given, item("empty", 0, real=0)], count=2)
    assert names == [
        "best_0_1.000_all.png",
        "best_1_0.857_most.png",
        "worst_0_0.000_none.png",
        "worst_1_0.667_half.png",
    ]
    picture = np.asarray(Image.open(tmp_path / "extremes" / "worst_1_0.667_half.png"))
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert tuple(picture[0, 7]) == MISSED  # the outline
    assert 0 < picture[0, 3, 1] < AGREED[1]


def test_an_image_is_not_both_and_older_pictures_go(tmp_path):
    assert drawn(tmp_path, [item("old", 3)], count=2) == ["worst_0_0.545_old.png"]
    assert drawn(tmp_path, [item("a", 4), item("b", 8)], count=2) == ["worst_0_0.667_a.png", "worst_1_1.000_b.png"]
