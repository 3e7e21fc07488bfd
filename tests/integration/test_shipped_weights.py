"""The weights in the repository fit their overlays and inference.json, and find mitochondria in tissue new to them."""

import json

import monai.bundle
import numpy as np
import pytest
from PIL import Image

from bundle.data.simulated_clicks import click_instances
from bundle.handlers.model_overlay import PROVENANCE, overlays_of, read_overlay
from bundle.state_files import read_state, state_sha256
from bundle.synthetic import SyntheticDataset
from tests.integration.commands import ROOT

NAMES = ("model_synthetic", "model")
LARGEST = 25_000_000
"""Bytes of both files together."""
LEAST = {
    ("model_synthetic", "automatic"): 0.7,
    ("model_synthetic", "interactive"): 0.75,
    ("model", "automatic"): 0.6,
    ("model", "interactive"): 0.75,
}
"""Dice on synthetic images of another seed than the training's. They have more of mitochondria than the tissue for
which the logits of ``model`` are adjusted most."""


def weights(name):
    return ROOT / "models" / f"{name}.pt"


@pytest.fixture(scope="module")
def tissue(tmp_path_factory):
    """A domain folder of images that no training has seen, and a points file with a click in each mitochondrion."""
    folder = SyntheticDataset(
        tmp_path_factory.mktemp("tissue"), pixel_size=20.0, number=8, shape=(128, 160), seed=1000
    ).render_all()
    random = np.random.default_rng(0)
    clicks = {}
    for label in sorted((folder / "labels").glob("*.png")):
        mask = np.array(Image.open(label)).T > 0
        clicks[f"images/{label.name}"] = {"points": click_instances(mask, random)}
    (folder / "points_100.json").write_text(json.dumps({"complete": True, "points": clicks}))
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_the_overlay_is_of_these_weights_and_nothing_in_it_runs(name):
    overlay = read_overlay(weights(name).with_suffix(".json"))
    assert overlay[PROVENANCE]["weights"] == state_sha256(read_state(weights(name)))
    assert overlays_of(weights(name)) == [weights(name).with_suffix(".json")]
    assert overlay["pixel_size"] == 20.0
    assert not overlay[PROVENANCE]["code"]["commit"].endswith("-dirty")


def test_where_they_come_from():
    synthetic, both = (read_overlay(weights(name).with_suffix(".json"))[PROVENANCE] for name in NAMES)
    assert [data["name"] for data in synthetic["data_sets"].values()] == ["synthetic"]
    assert synthetic["parent"] is None
    assert both["parent"] == synthetic["weights"]
    assert {data["name"] for data in both["data_sets"].values()} == {"synthetic", "vnc"}


def test_they_are_small_enough_for_the_repository():
    assert sum(weights(name).stat().st_size for name in NAMES) < LARGEST


@pytest.mark.slow
@pytest.mark.parametrize(("name", "mode"), LEAST)
def test_they_segment_new_tissue(name, mode, tissue, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monai.bundle.run(
        config_file=["configs/inference.json", f"models/{name}.json"],
        logging_file=False,
        checkpoint=str(weights(name)),
        dataset_dir=str(tissue),
        split="training",
        points=None if mode == "automatic" else "points_100.json",
        output_dir=str(tmp_path),
    )
    both = truths = found = 0
    for label in sorted((tissue / "labels").glob("*.png")):
        truth = np.array(Image.open(label)) > 0
        mask = np.array(Image.open(tmp_path / f"{label.stem}_mask.png")) > 0
        both, truths, found = both + (mask & truth).sum(), truths + truth.sum(), found + mask.sum()
    assert 2 * both / (truths + found) > LEAST[name, mode]
