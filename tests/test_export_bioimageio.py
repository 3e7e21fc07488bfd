"""The program that writes BioImage.IO packages, but for what only bioimageio.core can do: see tests/bioimageio."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from scipy.ndimage import binary_dilation

from bundle.errors import DataError
from bundle.handlers.model_overlay import overlay_text
from bundle.synthetic.generator import generate_image
from bundle.synthetic.styles import STYLES
from scripts import export_bioimageio
from scripts.fuzzing.tiny_network import NETWORK, tiny_network
from scripts.sharing.documentation import write_documentation
from scripts.sharing.example import SHAPE, cover_picture, example_image
from scripts.sharing.standalone_model import load_model, percentiles_of
from tests.integration.commands import ROOT

NORMALIZE = [
    {
        "_target_": "ScaleIntensityRangePercentilesd",
        "keys": "image",
        "lower": 1,
        "upper": 98.5,
        "b_min": 0,
        "b_max": 1,
        "clip": True,
    },
    {"_target_": "NormalizeIntensityd", "keys": "image"},
]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A checkpoint, and the overlay that describes its network."""
    folder = tmp_path_factory.mktemp("weights")
    torch.save(tiny_network().state_dict(), folder / "model.pt")
    (folder / "tiny.json").write_text(json.dumps({**NETWORK, "max_points": 6, "crop_size": [64, 48]}))
    return folder / "model.pt", folder / "tiny.json"


@pytest.fixture
def model(weights):
    return load_model(weights[0], weights[1:], 8)


@pytest.mark.parametrize("interactive", [False, True])
@torch.no_grad()
def test_the_script_gives_our_mask_and_density(model, interactive):
    image, clicks = example_image()
    mask, density = model.segment(image, clicks if interactive else None)
    low, high = np.percentile(image, model.percentiles)
    clipped = torch.from_numpy(image.clip(low, high).astype(np.float32))[None, None]
    if interactive:
        probability, found = model.script(True)(clipped, torch.from_numpy(clicks)[None])
        np.testing.assert_allclose(found[0, 0], density, atol=1e-4)
    else:
        probability = model.script(False)(clipped)
    assert 0.01 < mask.mean() < 0.99
    assert ((probability[0, 0].numpy() > model.threshold) == mask).mean() > 0.9995


def test_the_example_shows_mitochondria_and_has_clicks_of_both_kinds():
    image, clicks = example_image()
    assert image.shape == SHAPE
    assert clicks.sum(axis=(1, 2)).tolist() == [2, 1]
    truth = generate_image(STYLES["synthetic-b"], SHAPE, np.random.default_rng(0))[1] > 0
    assert truth[clicks[0] > 0].all()
    assert not binary_dilation(truth, iterations=5)[clicks[1] > 0].any()


def test_the_cover_shows_the_image_without_and_with_the_mask():
    image, _ = example_image()
    mask = np.zeros(image.shape, bool)
    mask[40:60, 50:90] = True
    cover = cover_picture(image, mask)
    height, width, _ = cover.shape
    assert width == 2 * height
    left, right = cover[:, :height], cover[:, height:]
    assert {tuple(place) for place in np.argwhere((left != right).any(axis=2)) // 2} == {
        tuple(place) for place in np.argwhere(mask)
    }


def test_the_page_has_the_numbers_of_the_model(model):
    page = write_documentation(model, True, "CC-BY-4.0")
    for words in (
        "8 nm",
        "CC-BY-4.0",
        "64 x 48",
        "percentiles 0.5 and 99.5",
        "above 0.5",
        "at most 6",
        "## Validation",
    ):
        assert words in page
    without = write_documentation(replace(model, pixel_size=None), False, None)
    assert "clicks" not in without
    assert without.count("not stated") == 2


def test_the_overlay_beside_the_checkpoint_is_taken(weights, tmp_path):
    state = tiny_network().state_dict()
    torch.save(state, tmp_path / "model.pt")
    config = ConfigParser()
    config.read_config([str(ROOT / "configs" / "inference.json"), str(weights[1])])
    config["pixel_size"] = 12.5
    (tmp_path / "model.json").write_text(overlay_text(config.get_parsed_content("model_settings"), {}, state))
    model = load_model(tmp_path / "model.pt")
    assert (model.window, model.pixel_size) == ((64, 48), 12.5)
    with pytest.raises(DataError, match=r"its training had pixel_size 12\.5"):
        load_model(tmp_path / "model.pt", pixel_size=8)


def test_percentiles_are_those_of_the_configuration():
    assert percentiles_of(NORMALIZE) == (1, 98.5)


@pytest.mark.parametrize(
    "normalize",
    [
        NORMALIZE[1:],
        [*NORMALIZE, {"_target_": "GaussianSmoothd", "keys": "image"}],
        [{**NORMALIZE[0], "clip": False}, NORMALIZE[1]],
        [{**NORMALIZE[0], "relative": True}, NORMALIZE[1]],
        [NORMALIZE[0], {**NORMALIZE[1], "nonzero": True}],
    ],
)
def test_another_normalisation_is_refused(normalize):
    with pytest.raises(DataError, match=r"normalize is .* cannot be written as preprocessing of BioImage\.IO"):
        percentiles_of(normalize)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"checkpoint": "nowhere.pt"}, "nowhere.pt: no such checkpoint"),
        ({"config": "{empty}"}, "holds the weights of another network"),
        ({"config": "nowhere.json"}, "nowhere.json"),
        ({"pixel_size": "-8"}, "pixel_size is -8.0, expected a number above 0"),
    ],
)
def test_what_cannot_be_exported_is_one_line(weights, tmp_path, capsys, change, words):
    (tmp_path / "empty.json").write_text("{}")
    options = {"checkpoint": weights[0], "config": weights[1], "output": tmp_path / "out", "pixel_size": "8", **change}
    command = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    assert export_bioimageio.main([part.format(empty=tmp_path / "empty.json") for part in command]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_the_author_is_that_of_the_citation():
    assert f'name: "{export_bioimageio.AUTHOR}"' in (ROOT / "CITATION.cff").read_text()


def test_without_bioimageio_one_line_says_how_to_get_it(weights, tmp_path):
    hidden = (
        "import sys; sys.modules['bioimageio'] = None; from scripts.export_bioimageio import main; sys.exit(main())"
    )
    command = ["--checkpoint", str(weights[0]), "--config", str(weights[1]), "--output", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-c", hidden, *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "error: bioimageio.core is not installed here; `make bioimageio` does it, in .venv-bioimageio"
    )
    assert not (tmp_path / "out").exists()
