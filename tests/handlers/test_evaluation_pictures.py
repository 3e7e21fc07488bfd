from types import SimpleNamespace

import numpy as np
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from PIL import Image

from bundle import keys
from bundle.handlers.evaluation_pictures import (
    AGREED,
    BACKGROUND_CLICK,
    FOREGROUND_CLICK,
    INVENTED,
    MISSED,
    EvaluationPictures,
    draw_clicks,
    gray,
    overlay,
)

WIDTH, HEIGHT = 12, 8


def block(x0, x1):
    """(X,Y) bool, True in some columns."""
    mask = np.zeros((WIDTH, HEIGHT), dtype=bool)
    mask[x0:x1] = True
    return mask


def colour_at(picture, x, y, scale=1):
    return tuple((picture[y * scale, x * scale] * 255).round().astype(int))


def test_gray_is_a_picture_whose_first_axis_goes_down():
    image = np.zeros((WIDTH, HEIGHT))
    image[:, 5:] = 100.0
    picture = gray(image)
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert (picture[:5] == 0).all() and (picture[5:] == 1).all()


def test_what_is_found_invented_and_missed():
    inside = overlay(np.zeros((WIDTH, HEIGHT)), block(2, 6), block(2, 4) | block(7, 9), scale=1)
    for x, colour in ((2, AGREED), (5, INVENTED), (7, MISSED)):
        assert colour_at(inside, x, 4) == colour
    assert colour_at(inside, 11, 4) == (0, 0, 0)


def test_without_a_truth_the_mask_is_green():
    mask = block(3, 6)
    assert colour_at(overlay(np.zeros((WIDTH, HEIGHT)), mask, None, scale=2), 3, 4, scale=2) == AGREED
    assert overlay(np.zeros((WIDTH, HEIGHT)), None, None, scale=3).shape == (3 * HEIGHT, 3 * WIDTH, 3)


def test_clicks_are_drawn_where_they_are():
    picture = np.zeros((HEIGHT * 2, WIDTH * 2, 3))
    clicks = np.zeros((2, WIDTH, HEIGHT))
    clicks[0, 2, 3] = clicks[1, 9, 4] = 1
    draw_clicks(picture, clicks, scale=2)
    assert colour_at(picture, 2, 3, scale=2) == FOREGROUND_CLICK
    assert colour_at(picture, 9, 4, scale=2) == BACKGROUND_CLICK
    assert colour_at(picture, 11, 0, scale=2) == (0, 0, 0)


def test_some_images_are_drawn_spread_over_the_split(tmp_path):
    names = [f"images/{number}.png" for number in range(9)]
    handler = EvaluationPictures(tmp_path, count=3, scale=1)
    engine = Engine(lambda *_: None)
    handler.attach(engine)
    items = [
        {
            keys.IMAGE: MetaTensor(torch.rand(3, WIDTH, HEIGHT), meta={"filename_or_obj": name}),
            keys.LABEL: torch.zeros(1, WIDTH, HEIGHT),
            keys.MODE: "automatic",
        }
        for name in names
    ]
    del items[8][keys.LABEL]
    data = SimpleNamespace(dataset=SimpleNamespace(data=[{keys.IMAGE: name} for name in names]))
    outputs = [{keys.PRED: torch.ones(1, WIDTH, HEIGHT)} for _ in names]
    state = SimpleNamespace(batch=items, output=outputs)
    handler.choose(SimpleNamespace(data_loader=data))
    handler.draw(SimpleNamespace(state=state))
    drawn = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert drawn == {
        *(f"{number}_{kind}.png" for number in (0, 4) for kind in ("image", "truth", "automatic")),
        "8_image.png",
        "8_automatic.png",
    }
    assert Image.open(tmp_path / "pictures" / "4_image.png").size == (WIDTH, HEIGHT)
