"""Masks of the MONAI Label app, as far as they need no server."""

import sys

import numpy as np
import pytest

pytest.importorskip("monailabel", reason="MONAI Label has an environment of its own: make label-test")

from monai.bundle import ConfigParser
from monailabel.interfaces.tasks.infer_v2 import InferType

from bundle.data.image_files import read_header, read_image
from bundle.errors import DataError
from bundle.synthetic.generator import generate_image
from bundle.synthetic.styles import STYLES
from tests.image_writers import write_fiji, write_png
from tests.integration.commands import ROOT
from tests.label.served import HEIGHT, RADIUS, WIDTH

ROWS, _ = generate_image(STYLES["synthetic-a"], (HEIGHT, WIDTH), np.random.default_rng(0))


@pytest.fixture
def segment(monkeypatch, bundle_files):
    """Segment an image (path) as the server would; returns the file of the mask."""
    monkeypatch.syspath_prepend(ROOT / "scripts" / "label_app")
    for name in [name for name in sys.modules if name == "lib" or name.startswith("lib.")]:
        monkeypatch.delitem(sys.modules, name)
    from lib.sections import SectionInferTask

    checkpoint, overlay = bundle_files
    files = [ROOT / "configs" / "inference.json", overlay, checkpoint.with_suffix(".json")]

    def segment(path, image_pixel_size=None, **clicks):
        parser = ConfigParser()
        parser.read_config([str(file) for file in files])
        parser["image_pixel_size"] = image_pixel_size
        task = SectionInferTask(parser, [checkpoint], InferType.DEEPGROW, {"mitochondria": 1})
        file, _ = task({"image": str(path), "device": "cpu", "model": "interactive", **clicks})
        return file

    return segment


def test_a_mask_has_the_pixels_and_the_calibration_of_its_image(segment, tmp_path):
    """The network works at 20 nm; at 10 nm each of its pixels is four of the image."""
    coarse = write_png(tmp_path / "coarse.png", ROWS)
    fine = write_fiji(tmp_path / "fine.tif", np.kron(ROWS, np.ones((2, 2), np.uint8)), 10.0)
    x, y = WIDTH - 12, HEIGHT // 2
    small = read_image(segment(coarse, 20.0, foreground=[[x, y]]))[..., 0] > 0
    file = segment(fine, foreground=[[2 * x, 2 * y]])
    large = read_image(file)[..., 0] > 0
    assert small.shape == (WIDTH, HEIGHT) and large.shape == (2 * WIDTH, 2 * HEIGHT)
    assert read_header(file).pixel_size == 10.0
    assert np.mean(large != np.kron(small, np.ones((2, 2), bool))) < 0.06
    without = read_image(segment(fine))[..., 0] > 0
    added = np.argwhere(large & ~without)
    assert len(added) > 40 and np.abs(np.median(added, axis=0) - (2 * x, 2 * y)).max() <= 2 * RADIUS


def test_an_image_without_pixel_size_is_refused(segment, tmp_path):
    with pytest.raises(DataError, match=r"a\.png: tells no pixel size .*PIXEL_SIZE=NM"):
        segment(write_png(tmp_path / "a.png", ROWS))
