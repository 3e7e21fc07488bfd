import json
import re
import shutil

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from packaging.requirements import Requirement

from bundle.transforms import RandCompactCropd
from tests.integration.commands import ADAPT, ROOT, SOURCE, TINY

METADATA = json.loads((ROOT / "configs" / "metadata.json").read_text())
REQUIRED = [
    "schema",
    "version",
    "monai_version",
    "pytorch_version",
    "numpy_version",
    "required_packages_version",
    "task",
    "description",
    "authors",
    "copyright",
    "network_data_format",
]
OWN_ENTRIES = {"torch": "pytorch", "monai": "monai", "numpy": "numpy"}
"""Packages to the names that MONAI's schema gives to their versions."""
TENSOR = ["type", "format", "num_channels", "spatial_shape", "dtype", "value_range"]


def test_metadata_is_complete():
    assert all(METADATA.get(key) for key in REQUIRED)
    assert METADATA["version"] in METADATA["changelog"]
    tensors = METADATA["network_data_format"]
    assert list(tensors["inputs"]) == ["image"] and list(tensors["outputs"]) == ["pred"]
    for tensor in (tensors["inputs"]["image"], tensors["outputs"]["pred"]):
        assert [key for key in TENSOR if key not in tensor] == []
        assert all(isinstance(n, int) and n % 8 == 0 for n in tensor["spatial_shape"])


def test_metadata_gives_monai_label_its_label():
    named = METADATA["network_data_format"]["outputs"]["pred"]["channel_def"]
    assert {name: int(value) for value, name in named.items() if name != "background"} == {"mitochondria": 1}


def test_metadata_says_the_versions_of_the_project():
    project = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{METADATA["version"]}"' in project
    needed = project.partition("[project.optional-dependencies]")[0]
    wanted = {found.name: found for found in map(Requirement, re.findall(r'^  "([^"]*)"', needed, re.MULTILINE))}
    pins = {package: METADATA[f"{name}_version"] for package, name in OWN_ENTRIES.items()}
    for package, version in {**pins, **METADATA["required_packages_version"]}.items():
        assert version in wanted[package].specifier, f"{package} {version}, pyproject.toml has {wanted[package]}"


def test_monais_zoo_has_python_3_10():
    """The oldest Python that the project takes, and the one that the types are checked for."""
    project = (ROOT / "pyproject.toml").read_text()
    assert 'requires-python = ">=3.10"' in project
    assert 'target-version = "py310"' in project and 'python_version = "3.10"' in project


def test_licence_is_apache():
    assert "Apache License\n                           Version 2.0" in (ROOT / "LICENSE").read_text()
    assert "no images and no labels" in (ROOT / "docs" / "data_license.txt").read_text()


@pytest.mark.parametrize("files", [ADAPT, SOURCE], ids=["adapt", "source"])
def test_training_has_the_properties_that_monai_asks_for(files, domain_pair, source_weights, tmp_path, in_root):
    folders = {"source_dir": str(domain_pair.source), "work_dir": str(tmp_path), "init_checkpoint": str(source_weights)}
    if files is ADAPT:
        folders["dataset_dir"] = str(domain_pair.target)
    workflow = ConfigWorkflow(files, workflow_type="train", logging_file=False, val_split="test", **TINY, **folders)
    workflow.initialize()
    assert workflow.check_properties() == []
    assert workflow.parser["run"] == workflow.parser["training"]
    assert workflow.parser["run"][1:] == ["$@work_dir_lock", "$@work_dir_lock.run(@train::trainer)"]


def test_training_takes_the_data_of_monai_label(domain_pair, source_weights, tmp_path, in_root):
    """Label puts a list of images and labels in the place of train#dataset#data."""
    image = str(shutil.copy(domain_pair.target / "images" / "test_0.png", tmp_path))
    label = str(domain_pair.target / "labels" / "test_0.png")
    parser = ConfigParser()
    parser.read_config(ADAPT)
    parser.update(
        {**TINY, "source_dir": str(domain_pair.source), "train#dataset#data": [{"image": image, "label": label}]}
    )
    item = parser.get_parsed_content("train#dataset")[0]
    assert item["target"]["image"].shape == (3, 32, 32)
    assert item["target"]["image"][1:].sum() == 0


@pytest.mark.parametrize(("preset", "side"), [("cpu", 128), ("paper", 384)])
def test_a_preset_sets_the_crops_and_every_window(in_root, preset, side):
    train, inference = ConfigParser(), ConfigParser()
    train.read_config([*ADAPT, f"configs/presets/{preset}.json"])
    inference.read_config(["configs/inference.json", f"configs/presets/{preset}.json"])
    for parser in (train, inference):
        parser["image_encoder"] = {"_target_": "bundle.networks.ConvEncoder"}
    steps = train.get_parsed_content("train#preprocessing").transforms
    (crop,) = (step for step in steps if isinstance(step, RandCompactCropd))
    assert crop.roi_size == (side, side)
    assert tuple(train.get_parsed_content("validate#inferer").window) == (side, side)
    assert tuple(inference.get_parsed_content("inferer").window) == (side, side)


def test_paper_preset_builds_and_segments(in_root):
    parser = ConfigParser()
    parser.read_config([*ADAPT, "configs/presets/paper.json"])
    assert parser["crop_size"] == [384, 384]
    # A window of 384 moves by 128 pixels.
    assert int(384 * (1 - parser["overlap"])) == 128
    parser["image_encoder"]["depth"] = 2
    network = parser.get_parsed_content("network_def").eval()
    assert type(network.image_encoder).__name__ == "ViTEncoder"
    assert not network.dense_prompts and not network.point_features
    # The decoder has 7.0 million parameters, without the contrastive head that is ours to size.
    decoder = network.mask_decoder
    count = sum(p.numel() for p in decoder.parameters()) - sum(p.numel() for p in decoder.contrastive_head.parameters())
    assert count == pytest.approx(7.0e6, rel=0.01)
    image = torch.zeros(1, 3, 64, 64)
    image[0, 0] = torch.rand(64, 64)
    image[0, 1, 20, 30] = 1
    with torch.no_grad():
        assert network(image).shape == (1, 2, 64, 64)
