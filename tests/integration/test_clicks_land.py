"""A click must stay on its pixel through every file format, crop, flip and window; images here are never square."""

from pathlib import Path

import itk
import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from skimage.io import imread, imsave
from torch import nn

from bundle.keys import IMAGE, PRED
from bundle.transforms import AddClickChannelsd

CONFIGS = Path(__file__).parents[2] / "configs"
WIDTH, HEIGHT = 50, 30
X, Y = 41, 7
"""The foreground click: column 41, row 7. The background click: column 3, row 28."""
CLICKS = {"foreground": [[X, Y]], "background": [[3, 28]]}
FORMATS = ("a.png", "a.tif", "a.nrrd", "a.mha", "a.nii", "a.nii.gz")


class Echo(nn.Module):
    """Mask where the foreground clicks are and density where the background clicks are."""

    def forward(self, x):
        return torch.cat((x[:, 1:2] * 20 - 10, x[:, 2:3]), dim=1)


def _rows():
    """An EM image (rows, columns) whose brightest pixel is under the foreground click."""
    rows = np.random.default_rng(0).integers(0, 200, (HEIGHT, WIDTH)).astype(np.uint8)
    rows[Y, X] = 255
    return rows


def _write(path, rows):
    """With another library than the bundle reads with, where there is one."""
    if path.suffix in (".png", ".tif"):
        imsave(path, rows, check_contrast=False)
    elif path.suffix in (".nrrd", ".mha"):
        itk.imwrite(itk.image_from_array(rows), str(path))
    else:  # column first, a section in a third axis in the zipped one
        array = rows.T[..., None] if path.suffix == ".gz" else rows.T
        nibabel.save(nibabel.Nifti1Image(array, np.diag([-0.1, -0.1, 1, 1])), path)
    return path


def _read(path):
    """As rows and columns."""
    if path.suffix in (".png", ".tif"):
        return imread(path)
    if path.suffix in (".nrrd", ".mha"):
        return itk.array_from_image(itk.imread(str(path)))
    return np.asanyarray(nibabel.load(path).dataobj).reshape(WIDTH, HEIGHT).T


def _config(**options):
    """The inference config with the echo for a network, which has no weights to load."""
    parser = ConfigParser(ConfigParser.load_config_file(CONFIGS / "inference.json"))
    parser["network_def"] = {"_target_": f"{__name__}.Echo"}
    del parser.config["handlers"][0]
    for name, value in {"device": "$torch.device('cpu')", "min_size": 0, "pixel_size": None, **options}.items():
        parser[name] = value
    return parser


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "options", [{"crop_size": [16, 16]}, {"crop_size": [16, 24], "rotations": 4}, {"crop_size": [64, 64]}]
)
def test_from_file_to_file(tmp_path, name, options):
    image = _write(tmp_path / name, _rows())
    output = tmp_path / "out"
    _config(dataset_dir=str(image), output_dir=str(output), **CLICKS, **options).get_parsed_content("evaluator").run()
    found = {r: _read(output / name.replace("a.", f"a_{r}.", 1)) for r in ("mask", "density", "instances")}
    assert [found[result].shape for result in found] == [(HEIGHT, WIDTH)] * 3
    assert np.argwhere(found["mask"]).tolist() == [[Y, X]]
    assert np.argwhere(found["instances"] == 1).tolist() == [[Y, X]]
    assert np.argwhere(found["density"] > 1e-3).tolist() == [[28, 3]]


@pytest.mark.parametrize("name", FORMATS)
def test_request_of_monai_label(tmp_path, name):
    """Its tasks apply preprocessing to the request, call the inferer with the image alone, and write ``pred``."""
    parser = _config(crop_size=[16, 16])
    pre, inferer, post = (parser.get_parsed_content(i) for i in ("preprocessing", "inferer", "postprocessing"))
    item = pre({IMAGE: str(_write(tmp_path / name, _rows())), **CLICKS, "model": "x"})
    assert item[IMAGE].shape == (3, WIDTH, HEIGHT)
    assert np.corrcoef(np.ravel(item[IMAGE][0]), np.ravel(_rows().T))[0, 1] > 0.99
    item[PRED] = inferer(item[IMAGE][None], Echo())[0]
    mask = post(item)[PRED]
    assert mask.shape == (WIDTH, HEIGHT) and mask.dtype == torch.uint8
    assert torch.argwhere(mask).tolist() == [[X, Y]] and mask.max() == 1


def test_crops_flips_and_turns_of_the_training(tmp_path):
    """The clicked pixel is the brightest: wherever the training's transforms take it, its click is there too."""
    parser = ConfigParser(ConfigParser.load_config_file(CONFIGS / "train.json"))
    parser["crop_size"] = [24, 24]
    transforms = parser.get_parsed_content("train#preprocessing").transforms
    names = [type(transform).__name__ for transform in transforms]
    spatial = transforms[names.index("AddClickChannelsd") : names.index("RandRotate90d") + 1]
    assert {"RandCompactCropd", "RandFlipd"} <= {type(transform).__name__ for transform in spatial}
    em = parser.get_parsed_content("load_image#0")({IMAGE: str(_write(tmp_path / "a.png", _rows()))})
    item = parser.get_parsed_content("load_image#1")(em) | CLICKS
    places = set()
    for seed in range(40):
        out = item
        for transform in spatial:
            if hasattr(transform, "set_random_state"):
                transform.set_random_state(seed)
            out = transform(out)
        em, clicks = out[IMAGE][0], out[IMAGE][1]
        assert em.shape == (24, 24)
        assert torch.equal(em == 255, clicks == 1)
        places |= set(map(tuple, torch.argwhere(clicks).tolist()))
    assert len(places) > 5  # the crops moved, and held the click now and then


def test_clicks_may_come_before_padding_and_cropping(tmp_path):
    item = {IMAGE: torch.zeros(1, WIDTH, HEIGHT), **CLICKS}
    assert torch.argwhere(AddClickChannelsd()(item)[IMAGE]).tolist() == [[1, X, Y], [2, 3, 28]]


def test_network_and_preprocessing_are_those_of_the_training():
    """So that weights of the default settings run without their overlay."""
    train, inference = (ConfigParser.load_config_file(CONFIGS / f"{name}.json") for name in ("train", "inference"))
    for name in ("image_encoder", "decoder", "max_points", "network_def", "reader", "normalize"):
        assert inference[name] == train[name], name
    alone = ("SqueezeDimd", "bundle.transforms.ToInputPixelsd")  # a domain folder is at the network's pixel size
    post = [transform for transform in inference["postprocessing"]["transforms"] if transform["_target_"] not in alone]
    assert post == train["validate"]["masks"]
    assert [inference[name] for name in ("threshold", "min_size", "connectivity")] == [
        train[name] for name in ("threshold", "min_size", "connectivity")
    ]


def _workflow(tmp_path, **options):
    versions = {"version": "1", "monai_version": "1", "pytorch_version": "1", "numpy_version": "1"}
    ConfigParser.export_config_file(versions, tmp_path / "metadata.json")
    _write(tmp_path / "a.png", _rows())
    network = ConfigParser(ConfigParser.load_config_file(CONFIGS / "inference.json")).get_parsed_content("network_def")
    torch.save(network.state_dict(), tmp_path / "model.pt")
    return ConfigWorkflow(
        workflow_type="infer",
        config_file=str(CONFIGS / "inference.json"),
        meta_file=str(tmp_path / "metadata.json"),
        logging_file=False,
        dataset_dir=str(tmp_path / "a.png"),
        output_dir=str(tmp_path / "out"),
        checkpoint=str(tmp_path / "model.pt"),
        pixel_size="$None",
        **options,
    )


def test_properties_of_an_inference_workflow(tmp_path):
    workflow = _workflow(tmp_path)
    workflow.initialize()
    assert workflow.check_properties() == []
    assert workflow.dataset_data[0][IMAGE] == str(tmp_path / "a.png")


def test_crowded_window_is_refused_before_work(tmp_path):
    with pytest.raises(RuntimeError) as caught:
        _workflow(tmp_path, crop_size=[32, 32], max_points=1, foreground=[[1, 1], [2, 2]]).initialize()
    assert "2 clicks lie in one window of 32 x 32" in str(caught.value.__cause__)
    assert not (tmp_path / "out").exists()
