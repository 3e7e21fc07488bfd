import logging

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import Dataset
from PIL import Image
from torch import nn

from bundle import keys as K
from bundle.handlers import JudgementPictures
from bundle.handlers import judgement_pictures as module
from bundle.inferers import PromptedSlidingWindowInferer
from bundle.preferences.candidates.files import CandidateSet, write_candidates

X, Y = 48, 32


class Dark(nn.Module):
    """Calls dark pixels foreground, and pixels with a click too."""

    stride = 8

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat((self.weight * (20 * x[:, 1:2] - x[:, :1]), x[:, 1:2]), dim=1)


def write_image(folder, name, judgements):
    """Candidate 0 is the left half, 1 the upper half; returns an item of the training set."""
    masks = np.zeros((3, X, Y), bool)
    masks[0, : X // 2], masks[1, :, : Y // 2] = True, True
    file = folder / f"{name}.npz"
    made = ["as it is", "threshold 0.3", "evolved contour"]
    write_candidates(file, CandidateSet(name, "sha", masks, made, np.zeros((X, Y), np.float32), "model"))
    return {K.IMAGE: name, K.CANDIDATES_FILE: str(file), K.JUDGEMENTS: judgements}


@pytest.fixture
def judged(tmp_path):
    """Two images with one and two judged regions; the second is dark in its right half, and clicked elsewhere."""
    rows = [
        write_image(tmp_path, "few.png", [("grid:16", 0, 1, (0, 1, 2))]),
        write_image(tmp_path, "many.png", [("grid:16", 2, 1, (0, 1, 2)), ("grid:16", 3, 0, (0, 1, 2))]),
    ]
    image = torch.zeros(3, X, Y)
    image[0] = torch.where(torch.arange(X) < X // 2, 1.0, -1.0)[:, None]
    image[1, 3, 3] = 1
    items = {"few.png": torch.zeros(3, X, Y), "many.png": image}
    paths = [{K.IMAGE: name} for name in items]
    images = Dataset(paths, lambda item: {K.IMAGE: items[item[K.IMAGE]], K.LABEL: items[item[K.IMAGE]][:1] < 0})
    return rows, images


@pytest.fixture
def drawn(monkeypatch):
    """What the figure was asked to show."""
    calls = []
    original = module.judgement_figure
    monkeypatch.setattr(module, "judgement_figure", lambda *args: calls.append(args) or original(*args))
    return calls


def complete(handler):
    engine = Engine(lambda *_: None)
    handler.attach(engine)
    engine.run([0], max_epochs=1)


def test_picture_of_the_image_with_most_judged_regions(judged, drawn, tmp_path, caplog):
    rows, images = judged
    network = Dark().train()
    folder = tmp_path / "new" / "pictures"
    inferer = PromptedSlidingWindowInferer([16, 16])
    handler = JudgementPictures(folder, Dataset(rows), images, network, inferer)
    caplog.set_level(logging.INFO)
    complete(handler)
    ((image, made, judgements, after, truth),) = drawn
    assert made.image == "many.png" and len(judgements) == 2
    # Without the click, what the network calls foreground is the truth.
    np.testing.assert_array_equal(after, truth)
    assert truth[X // 2 :].all() and not truth[: X // 2].any() and image.shape == (X, Y)
    assert network.training
    with Image.open(folder / "judgements.png") as picture:
        assert picture.width == 1600 and picture.height < 1600
    assert [path.name for path in folder.iterdir()] == ["judgements.png"]
    assert "drew 2 judged regions of many.png" in caplog.text


def test_chosen_are_put_together_where_they_won(judged, monkeypatch, tmp_path):
    painted = []
    monkeypatch.setattr(module, "overlay", lambda image, mask, truth: painted.append(mask) or np.zeros((Y, X, 3)))
    rows, _ = judged
    made = module.read_candidates(rows[1][K.CANDIDATES_FILE])
    nothing = np.zeros((X, Y), bool)
    module.judgement_figure(np.zeros((X, Y)), made, rows[1][K.JUDGEMENTS], nothing, None)
    chosen, before, after = painted
    np.testing.assert_array_equal(before, made.masks[0])
    np.testing.assert_array_equal(after, nothing)
    # Region 2 of the grid is the upper right: candidate 1 fills it. Elsewhere the mask is the one before.
    expected = made.masks[0].copy()
    expected[32:, :16] = True
    np.testing.assert_array_equal(chosen, expected)


def test_boxes_and_outlines_lie_where_their_regions_are(judged):
    rows, _ = judged
    made = module.read_candidates(rows[1][K.CANDIDATES_FILE])
    figure = module.judgement_figure(np.zeros((X, Y)), made, rows[1][K.JUDGEMENTS], made.masks[1], made.masks[1])
    regions, candidates, *_, legend = figure.axes
    assert sorted(box.get_bbox().bounds for box in regions.patches) == [(0, 16, 16, 16), (32, 0, 16, 16)]
    # The empty third candidate has no outline.
    outlines = [collection.get_paths()[0].vertices for collection in candidates.collections]
    assert len(outlines) == 2
    assert set(outlines[0][:, 0]) == {X // 2} and set(outlines[1][:, 1]) == {Y // 2}
    texts = [text.get_text() for text in legend.get_legend().get_texts()]
    assert texts == ["0: as it is", "1: threshold 0.3", "2: evolved contour", "found", "made up", "missed"]


def test_images_without_labels(judged, drawn, tmp_path):
    rows, images = judged
    bare = Dataset(images.data, lambda item: {K.IMAGE: torch.zeros(3, X, Y)})
    complete(JudgementPictures(tmp_path, Dataset(rows), bare, Dark(), PromptedSlidingWindowInferer([16, 16])))
    assert drawn[0][-1] is None and (tmp_path / "judgements.png").is_file()
