"""Packages pass the test of BioImage.IO, and answer as this bundle's inference does."""

from zipfile import ZipFile

import monai.bundle
import numpy as np
import pytest
import torch
from PIL import Image
from skimage.transform import downscale_local_mean

from bundle import keys as K
from bundle.networks.standalone import standardize
from bundle.synthetic.generator import generate_image
from bundle.synthetic.styles import STYLES
from scripts.export_bioimageio import main as export
from scripts.infer import main as infer
from scripts.sharing.standalone_model import load_model
from tests.documents import blocks
from tests.integration.commands import ROOT

pytest.importorskip("bioimageio.core", reason="bioimageio.core is not installed; `make bioimageio-test` does it")
pytestmark = pytest.mark.slow

REAL = ROOT / "../shared/data"

CLICKS = [[10, 60], [100, 20]]
"""(x, y) in an image of 130 x 77 pixels. Turned, the second would lie outside."""


@pytest.fixture(scope="module")
def packages(weights, tmp_path_factory):
    """The packages by kind."""
    checkpoint, overlay = weights
    folder = tmp_path_factory.mktemp("packages")
    options = ["--pixel-size", "8", "--license", "CC-BY-4.0", "--author", "Ada Lovelace"]
    command = ["--checkpoint", str(checkpoint), "--config", str(overlay), "--output", str(folder), *options]
    assert export(command) == 0
    return {kind: folder / f"model-{kind}.zip" for kind in ("automatic", "interactive")}


@pytest.fixture(scope="module")
def image():
    """(Y,X) uint16, no multiple of the stride, with a few pixels far too bright."""
    image = 100 * generate_image(STYLES["synthetic-b"], (77, 130), np.random.default_rng(5))[0].astype(np.uint16)
    image[::25, ::40] = 60000
    return image


@pytest.fixture(scope="module")
def ours(weights, image, tmp_path_factory):
    """The masks (Y,X) bool of ``monai.bundle run`` by kind."""
    checkpoint, overlay = weights
    folder = tmp_path_factory.mktemp("inference")
    Image.fromarray(image).save(folder / "image.png")
    masks = {}
    for kind, clicks in (("automatic", []), ("interactive", CLICKS)):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(ROOT)
            monai.bundle.run(
                config_file=["configs/inference.json", str(overlay)],
                logging_file=False,
                checkpoint=str(checkpoint),
                dataset_dir=str(folder / "image.png"),
                pixel_size="$None",
                output_dir=str(folder / kind),
                foreground=clicks,
            )
        masks[kind] = np.asarray(Image.open(folder / kind / "image_mask.png")) > 0
    return masks


def predict(package, **inputs):
    """What bioimageio.core makes of arrays (channel,Y,X): its outputs, (channel,Y,X) each."""
    from bioimageio.core import predict

    arrays = {name: array[None].astype(np.float32) for name, array in inputs.items()}
    sample = predict(model=package, inputs=arrays)
    return {str(name): tensor.data.to_numpy()[0] for name, tensor in sample.members.items()}


def click_maps(shape):
    maps = np.zeros((2, *shape), np.float32)
    for x, y in CLICKS:
        maps[0, y, x] = 1
    return maps


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


@pytest.mark.parametrize("kind", ["automatic", "interactive"])
def test_passes_the_test_of_bioimageio(packages, kind):
    from bioimageio.core import test_model

    summary = test_model(packages[kind])
    assert summary.status == "passed", summary.format()


@pytest.mark.parametrize("kind", ["automatic", "interactive"])
def test_mask_is_that_of_inference(packages, ours, image, kind):
    clicks = {"clicks": click_maps(image.shape)} if kind == "interactive" else {}
    mask = predict(packages[kind], image=image[None], **clicks)["mask"]
    assert mask.dtype == np.float32
    assert set(np.unique(mask)) == {0, 1}
    assert 0.02 < ours[kind].mean() < 0.9
    assert dice(mask[0] > 0, ours[kind]) > 0.999


@pytest.mark.skipif(not REAL.is_dir(), reason="the real EM of ../shared/data is not here")
@pytest.mark.parametrize("domain", ["vnc", "lucchi-pp"])
@pytest.mark.parametrize("weights_name", ["model", "model_synthetic"])
def test_shipped_weights_give_the_mask_of_inference_on_real_images(domain, weights_name, tmp_path):
    checkpoint = ROOT / "models" / f"{weights_name}.pt"
    assert export(["--checkpoint", str(checkpoint), "--output", str(tmp_path)]) == 0
    (tmp_path / "images").mkdir()
    for path in sorted((REAL / domain / "test" / "images").iterdir())[:3]:
        small = downscale_local_mean(np.asarray(Image.open(path)), (4, 4))  # about 20 nm
        Image.fromarray(small.round().astype(np.uint8)).save(tmp_path / "images" / path.name)
    command = [str(tmp_path / "images"), "--output", str(tmp_path / "ours"), "--checkpoint", str(checkpoint)]
    assert infer([*command, "--pixel-size", "20"]) == 0
    for path in (tmp_path / "images").iterdir():
        ours = np.asarray(Image.open(tmp_path / "ours" / f"{path.stem}_mask.png")) > 0
        image = np.asarray(Image.open(path))
        mask = predict(tmp_path / f"{weights_name}-automatic.zip", image=image[None])["mask"]
        assert ours.sum() > 200
        assert dice(mask[0] > 0, ours) > 0.999


def test_clicks_are_optional_and_count(packages, ours, image):
    without = predict(packages["interactive"], image=image[None])
    assert dice(without["mask"][0] > 0, ours["automatic"]) > 0.999
    assert dice(ours["interactive"], ours["automatic"]) < 0.99
    assert set(without) == {"mask", "density"}
    assert 0 <= without["density"].min() <= without["density"].max() <= 1


def test_preprocessing_is_our_normalisation(packages, weights, image):
    from bioimageio.core import create_prediction_pipeline
    from bioimageio.core.digest_spec import create_sample_for_model
    from bioimageio.spec import load_model_description

    description = load_model_description(packages["automatic"])
    pipeline = create_prediction_pipeline(description)
    sample = create_sample_for_model(description, inputs={"image": image[None, None].astype(np.float32)})
    pipeline.apply_preprocessing(sample)
    clipped = torch.from_numpy(sample.members["image"].data.to_numpy())
    model = load_model(*weights[:1], weights[1:])
    expected = model.normalize({K.IMAGE: torch.from_numpy(image.astype(np.float32))[None]})[K.IMAGE]
    assert clipped.dtype == torch.float32
    np.testing.assert_allclose(standardize(clipped)[0], expected, atol=1e-4)


def test_description_says_what_the_options_say(packages):
    from bioimageio.spec import load_model_description

    for kind, package in packages.items():
        description = load_model_description(package)
        assert description.name == f"Prefer-DAS mitochondria ({kind})"
        assert [author.name for author in description.authors] == ["Ada Lovelace"]
        assert str(description.license) == "CC-BY-4.0"
        dois = [str(entry.doi) for entry in description.cite]
        assert dois == ["10.48550/arXiv.2602.19423", "10.48550/arXiv.2509.18973"]
        assert (len(description.inputs), len(description.outputs)) == ((1, 1) if kind == "automatic" else (2, 2))
        for tensor in (*description.inputs, *description.outputs):
            space = [axis for axis in tensor.axes if axis.type == "space"]
            assert [(axis.id, axis.unit, axis.scale) for axis in space] == [
                ("y", "nanometer", 8),
                ("x", "nanometer", 8),
            ]
        assert description.weights.torchscript is not None
        assert len(description.covers) == 1


def test_description_has_nothing_that_qupath_reads_wrongly(packages):
    """There a ``clip`` has no percentiles, a tile has the size 0 where the step divides the least size, and some fields
    must be texts, as for ilastik's version of bioimageio.spec, 0.5.9."""
    from bioimageio.spec import load_model_description
    from ruyaml import YAML

    with ZipFile(packages["automatic"]) as archive:
        content = YAML(typ="safe").load(archive.read("rdf.yaml"))
    assert content["format_version"] == "0.5.9"
    assert (content["covers"], content["documentation"], content["license"]) == (
        ["cover.png"],
        "README.md",
        "CC-BY-4.0",
    )
    description = load_model_description(packages["automatic"])
    operations = {step.id: dict(step.kwargs) for step in description.inputs[0].preprocessing}
    assert set(operations) == {"ensure_dtype", "scale_range", "clip"}
    assert (operations["clip"]["min"], operations["clip"]["max"]) == (0, 1)
    assert operations["clip"]["min_percentile"] is operations["clip"]["max_percentile"] is None
    assert [axis.size.step for axis in description.inputs[0].axes if axis.type == "space"] == [1, 1]


@pytest.mark.parametrize(
    "option, words",
    [
        ("--license", "license is 'do as you like', which BioImage.IO does not take"),
        ("--author", "name is 'do as/or as you like'"),
        ("--name", "name is '"),
    ],
)
def test_what_the_format_does_not_take_is_one_line(weights, tmp_path, capsys, option, words):
    checkpoint, overlay = weights
    command = ["--checkpoint", str(checkpoint), "--config", str(overlay), "--output", str(tmp_path)]
    value = "do as you like" if option == "--license" else "do as/or as you like"
    assert export([*command, option, value]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_python_of_the_documents_runs(packages, tmp_path, monkeypatch):
    text = (ROOT / "docs" / "sharing.md").read_text()
    (block,) = [block for block in blocks(text, "python") if "bioimageio" in block]
    (tmp_path / "scans" / "new").mkdir(parents=True)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "bioimageio").symlink_to(packages["interactive"].parent)
    image, _ = generate_image(STYLES["synthetic-b"], (130, 210), np.random.default_rng(6))
    Image.fromarray(image).save(tmp_path / "scans" / "new" / "a.tif")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(block, names)
    assert names["mask"].shape == (130, 210)
    assert names["mask"][120, 80]
