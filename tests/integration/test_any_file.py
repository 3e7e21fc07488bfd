"""Files of microscopes and their programs, through the real command: the right nanometres, on the input's grid."""

import json
import logging

import monai.bundle
import mrcfile
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from bundle.data.image_files import read_header, read_image
from tests.image_writers import write_fiji, write_mrc, write_ome, write_png, write_tiled_bigtiff
from tests.integration.commands import NETWORK, call, command, refusal
from tests.integration.test_pixel_size import segment

NM = 20.0
"""What the network works at."""
AREA = (1920, 1280)
"""Of every image, in nanometres; it has one dark square of 640 nm from (640, 320) nm on."""
SQUARE = (640, 1280, 320, 960)


def rows_of(nm: float, kind: type = np.uint8) -> np.ndarray:
    """The image (Y,X) at a pixel size."""
    rows = np.full((round(AREA[1] / nm), round(AREA[0] / nm)), 200.0)
    x0, x1, y0, y1 = (round(edge / nm) for edge in SQUARE)
    rows[y0:y1, x0:x1] = 40
    rows += np.random.default_rng(0).normal(0, 4, rows.shape)
    return (rows * 250 if kind is np.uint16 else rows / 2 if kind is np.int8 else rows).astype(kind)


WRITERS = {
    "fiji.tif": (8.0, lambda path, nm: write_fiji(path, rows_of(nm, np.uint16), nm, "um")),
    "ome.ome.tif": (10.0, lambda path, nm: write_ome(path, rows_of(nm), nm, "nm")),
    "big.tif": (5.0, lambda path, nm: write_tiled_bigtiff(path, rows_of(nm, np.uint16), nm)),
    "int8.mrc": (8.0, lambda path, nm: write_mrc(path, rows_of(nm, np.int8), nm)),
    "uint16.mrc": (16.0, lambda path, nm: write_mrc(path, rows_of(nm, np.uint16), nm)),
    "coarse.tif": (40.0, lambda path, nm: write_fiji(path, rows_of(nm), nm, "nm")),
    "png16.png": (8.0, lambda path, nm: write_png(path, rows_of(nm, np.uint16))),
}


class DarkIsForeground(torch.nn.Module):
    """A network of one number: what is darker than the mean is a mitochondrion; of a click it makes a disc."""

    stride = 8

    def __init__(self, **_: object) -> None:
        super().__init__()
        self.sharpness = torch.nn.Parameter(torch.tensor(8.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        clicks = torch.nn.functional.max_pool2d(x[:, 1:2], 9, 1, 4)
        logits = -self.sharpness * (x[:, :1] + 1) + 40 * clicks
        return torch.cat((logits, torch.sigmoid(logits)), dim=1)


SETTINGS = {
    "network_def": {"_target_": f"{__name__}.DarkIsForeground"},
    "crop_size": [64, 64],
    "device": "$torch.device('cpu')",
    "pixel_size": NM,
}


@pytest.fixture
def run(tmp_path, in_root, caplog):
    """Segment images with that network; returns the folder of the results."""
    caplog.set_level(logging.CRITICAL)
    torch.save(DarkIsForeground().state_dict(), tmp_path / "dark.pt")

    def run(path, **settings):
        out = tmp_path / "out"
        rest = {**SETTINGS, "checkpoint": str(tmp_path / "dark.pt"), "output_dir": str(out), **settings}
        monai.bundle.run(config_file="configs/inference.json", logging_file=False, dataset_dir=str(path), **rest)
        return out

    return run


def edges(mask: np.ndarray, nm: float) -> np.ndarray:
    """Of a mask (X,Y), in nanometres."""
    xs, ys = np.nonzero(mask)
    return np.array([xs.min(), xs.max() + 1, ys.min(), ys.max() + 1]) * nm


def check(out, name, nm):
    """The results of an image: its square, in its place, on its grid."""
    stem, _, suffix = name.rpartition(".")
    size = rows_of(nm).shape[::-1]
    for result in ("mask", "density", "instances"):
        file = out / f"{stem}_{result}.{suffix}"
        header = read_header(file)
        assert header.size == size and header.pixel_size == (None if suffix == "png" else nm), file.name
        found = read_image(file)[..., 0]
        if result != "density":
            assert np.abs(edges(found > 0, nm) - SQUARE).max() <= max(nm, NM), file.name
            assert len(np.unique(found)) == 2


@pytest.mark.parametrize("name", WRITERS)
def test_a_square_of_known_nanometres_keeps_them(tmp_path, run, name):
    nm, write = WRITERS[name]
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / name, nm)
    out = run(tmp_path / "in" / name, **({"image_pixel_size": nm} if name.endswith(".png") else {}))
    check(out, name, nm)


def test_results_open_with_the_calibration_of_their_program(tmp_path, run):
    (tmp_path / "in").mkdir()
    for name in ("fiji.tif", "ome.ome.tif", "int8.mrc"):
        nm, write = WRITERS[name]
        write(tmp_path / "in" / name, nm)
    out = run(tmp_path / "in")
    with tifffile.TiffFile(out / "fiji_mask.tif") as file:
        assert file.imagej_metadata["unit"] == "um" and file.pages[0].resolution == (125, 125)
    with tifffile.TiffFile(out / "ome.ome_instances.tif") as file:
        assert 'PhysicalSizeX="10.0" PhysicalSizeXUnit="nm"' in file.ome_metadata
    with mrcfile.open(out / "int8_density.mrc") as file:
        assert file.voxel_size.tolist() == (80, 80, 80) and file.data.dtype == np.float32


def test_a_folder_of_two_pixel_sizes(tmp_path, run):
    (tmp_path / "in").mkdir()
    for name in ("fiji.tif", "coarse.tif", "uint16.mrc"):
        nm, write = WRITERS[name]
        write(tmp_path / "in" / name, nm)
    out = run(tmp_path / "in")
    for name in ("fiji.tif", "coarse.tif", "uint16.mrc"):
        check(out, name, WRITERS[name][0])


def test_a_file_without_pixel_size_is_refused_in_one_line(tmp_path, run):
    (tmp_path / "in").mkdir()
    WRITERS["fiji.tif"][1](tmp_path / "in" / "a.tif", 8.0)
    WRITERS["png16.png"][1](tmp_path / "in" / "b.png", 8.0)
    line = refusal(lambda: run(tmp_path / "in"))
    assert line == (
        f"{tmp_path}/in/b.png: tells no pixel size that can be trusted; give it in nanometres, --image_pixel_size NM "
        "for a bundle command, PIXEL_SIZE=NM for make"
    )
    assert not (tmp_path / "out").exists()


def test_clicks_land_where_they_were_made(tmp_path, run):
    """In pixels of the file: a disc of 9 of the network's pixels around the click."""
    (tmp_path / "in").mkdir()
    path = write_fiji(
        tmp_path / "in" / "a.tif", np.full((160, 240), 200, np.uint8) + np.eye(160, 240, dtype=np.uint8), 8.0
    )
    mask = read_image(run(path, foreground=[[180, 40]], min_size=0) / "a_mask.tif")[..., 0]
    assert mask[180, 40]
    assert np.abs(edges(mask, 8.0) - [1440 - 90, 1440 + 90, 320 - 90, 320 + 90]).max() <= 20


def test_too_many_clicks_in_a_window_of_the_network(tmp_path, run):
    """60 pixels of 8 nm apart they are in one window of 64 pixels of 20 nm."""
    (tmp_path / "in").mkdir()
    path = WRITERS["fiji.tif"][1](tmp_path / "in" / "a.tif", 8.0)
    clicks = [[10, 10], [90, 10], [150, 10]]
    line = refusal(lambda: run(path, foreground=clicks, max_points=2))
    assert "3 clicks lie in one window of 64 x 64 pixels" in line


@pytest.mark.slow
def test_as_a_person_types_it(tmp_path):
    """A Fiji TIFF and the overlay of weights, in a process of its own."""
    (tmp_path / "in").mkdir()
    WRITERS["fiji.tif"][1](tmp_path / "in" / "a.tif", 8.0)
    segment(tmp_path, dataset_dir=str(tmp_path / "in"))  # writes weights of random numbers
    (tmp_path / "model-overlay.json").write_text(json.dumps({**NETWORK, "pixel_size": NM, "crop_size": [32, 32]}))
    files = str(["configs/inference.json", str(tmp_path / "model-overlay.json")])
    given = {"dataset_dir": tmp_path / "in", "output_dir": tmp_path / "typed", "checkpoint": tmp_path / "model.pt"}
    options = [part for name, value in given.items() for part in (f"--{name}", str(value))]
    done = call(command("run", "--config_file", files, *options))
    assert done.returncode == 0, done.stderr[-3000:]
    with Image.open(tmp_path / "typed" / "a_mask.tif") as mask:
        assert mask.size == (240, 160)
    assert read_header(tmp_path / "typed" / "a_instances.tif").pixel_size == 8.0
