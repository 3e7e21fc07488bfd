"""The real command, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from skimage.io import imread, imsave

from bundle.data.result_files import TABLE
from bundle.networks import ConvEncoder, PromptableSegmenter
from bundle.preflight import explain

ROOT = Path(__file__).parents[2]
SMALL = {"image_encoder#channels": "[8,8,16]", "decoder": "{'upscaled_channels': [8, 8], 'depth': 1, 'num_heads': 2}"}
SIZES = {"a": (50, 70), "b": (20, 30)}
"""Rows and columns. A window of 32 is smaller than the one image and larger than the other."""
RESULTS = {f"{name}_{file}" for name in SIZES for file in ("mask.tif", "density.tif", "instances.tif", "overlay.png")}


def _run(folder, **options):
    options = {"config_file": "configs/inference.json", **SMALL, "crop_size": "[32,32]", "min_size": 0, **options}
    options |= {"checkpoint": folder / "model.pt", "device": "cpu"}
    command = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return subprocess.run(
        [sys.executable, "-m", "monai.bundle", "run", *command],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of two images, a network that was never trained, and what the command makes of them."""
    folder = tmp_path_factory.mktemp("inference")
    (folder / "in").mkdir()
    for name, size in SIZES.items():
        rows = np.random.default_rng(0).integers(0, 60000, size).astype(np.uint16)
        imsave(folder / f"in/{name}.tif", rows, check_contrast=False)
    torch.manual_seed(0)
    decoder = {"upscaled_channels": [8, 8], "depth": 1, "num_heads": 2}
    torch.save(PromptableSegmenter(ConvEncoder([8, 8, 16]), decoder=decoder).state_dict(), folder / "model.pt")
    return folder


@pytest.fixture(scope="module")
def automatic(folder):
    return _run(folder, dataset_dir=folder / "in", output_dir=folder / "automatic")


@pytest.fixture(scope="module")
def prompted(folder):
    """One image, with a click from a file and another from the command line."""
    (folder / "clicks.csv").write_text("image,x,y,label\na.tif,69,49,1\n")
    options = {"points": folder / "clicks.csv", "background": "[[3,8]]"}
    return _run(folder, dataset_dir=folder / "in/a.tif", output_dir=folder / "prompted", **options)


def _results(folder, mode, name):
    return {result: imread(folder / f"{mode}/{name}_{result}.tif") for result in ("mask", "density", "instances")}


def test_automatic(folder, automatic):
    assert automatic.returncode == 0, automatic.stderr[-3000:]
    assert {path.name for path in (folder / "automatic").iterdir()} == {*RESULTS, TABLE}
    for name, size in SIZES.items():
        found = _results(folder, "automatic", name)
        assert [array.shape for array in found.values()] == [size] * 3
        assert [array.dtype for array in found.values()] == [np.uint8, np.float32, np.uint16]
        np.testing.assert_array_equal(found["instances"] > 0, found["mask"] == 1)
        assert found["density"].min() >= 0 and found["density"].max() <= 1
    assert "segmenting" in automatic.stderr and "1/2" in automatic.stderr


@pytest.mark.slow
def test_clicks_change_the_windows_that_they_are_in(folder, automatic, prompted):
    assert prompted.returncode == 0, prompted.stderr[-3000:]
    assert {path.name for path in (folder / "prompted").iterdir()} == {
        TABLE,
        *(r for r in RESULTS if r.startswith("a_")),
    }
    before, after = (_results(folder, mode, "a")["density"] for mode in ("automatic", "prompted"))
    change = np.abs(before - after)
    assert change[40:, 60:].max() > 1e-5 and change[:20, :20].max() > 1e-5
    # windows of 32 that hold (69, 49) begin at column 38 and row 18, those of (3, 8) end before column 32 and row 32
    assert change[32:, :38].max() < 1e-6


def test_unreadable_image_is_named(tmp_path):
    imsave(tmp_path / "cut.png", np.random.default_rng(0).integers(0, 256, (50, 70)).astype(np.uint8))
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    parser = ConfigParser(ConfigParser.load_config_file(ROOT / "configs/inference.json"))
    parser.update({"dataset_dir": str(tmp_path / "cut.png"), "output_dir": str(tmp_path / "out")})
    with pytest.raises(RuntimeError) as error:  # before any work, since the file's size tells
        parser.get_parsed_content("dataset")
    assert explain(error.value).startswith(f"{tmp_path / 'cut.png'}: cannot be read as an image")


@pytest.mark.slow
def test_error_is_one_line_and_comes_before_work(folder):
    run = _run(folder, dataset_dir=folder / "in", output_dir=folder / "none", **{"image_encoder#channels": "[8,8,24]"})
    assert run.returncode != 0 and "Traceback" not in run.stderr
    assert "model.pt: holds the weights of another network" in run.stderr.strip().splitlines()[-1]
    assert not (folder / "none").exists() or not list((folder / "none").iterdir())
