import re
import subprocess

import pytest
from ignite.engine import Engine
from torch import nn

from bundle.errors import SettingError
from bundle.handlers import SaveWeights, shipped_weights
from bundle.handlers.shipped_weights import MODELS, SHIPPED, check_not_shipped, first_weights
from tests.integration.commands import ROOT


@pytest.fixture
def models(tmp_path, monkeypatch):
    """A folder of weights in the place of the repository's."""
    (tmp_path / "models").mkdir()
    monkeypatch.setattr(shipped_weights, "MODELS", tmp_path / "models")
    return tmp_path / "models"


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_and_their_overlays_are_not_written_over(models, name, monkeypatch):
    monkeypatch.chdir(models.parent)
    stem = name.removesuffix(".pt")
    for place in (models / name, f"models/{name}", f"models/../models/{stem}.pth", models / stem):
        text = f"checkpoint is {place}, but models/{name} comes with the bundle and is not written over"
        with pytest.raises(SettingError, match=re.escape(text)):
            check_not_shipped(place)


def test_a_link_to_them_is_them(models):
    (models / "model.pt").write_bytes(b"weights")
    (models / "mine.pt").symlink_to(models / "model.pt")
    with pytest.raises(SettingError, match="comes with the bundle"):
        check_not_shipped(models / "mine.pt")


def test_any_other_place_is_free(models):
    for place in ("models/model.pt", models.parent / "model.pt", models / "source.pt", models / "model_2.pt"):
        check_not_shipped(place)


def test_a_trainer_is_refused_before_it_runs(models):
    with pytest.raises(SettingError, match=r"models/model\.pt comes with the bundle"):
        SaveWeights(models / "model.pt", nn.Linear(1, 1)).attach(Engine(lambda *_: None))


def test_programs_start_with_what_was_adapted_or_with_what_comes_with_the_bundle(models):
    assert first_weights() == models / "model_synthetic.pt"
    for name in ("preferred.pt", "source.pt", "model.pt"):
        (models / name).touch()
    assert first_weights() == models / "model_synthetic.pt"
    (models / "adapted.pt").touch()
    assert first_weights() == models / "adapted.pt"


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no checkout")
def test_git_tracks_what_is_shipped_and_ignores_what_is_trained():
    assert MODELS == ROOT / "models"
    trained = [f"models/{stage}{suffix}" for stage in ("source", "adapted", "preferred") for suffix in (".pt", ".json")]
    shipped = [f"models/{name}" for weights in SHIPPED for name in (weights, weights.replace(".pt", ".json"))]
    found = subprocess.run(
        ["git", "check-ignore", "--no-index", *trained, *shipped, "models/README.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert found.stdout.split() == trained
