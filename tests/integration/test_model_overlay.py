"""Weights of another network than the default one, run with wrong settings, right ones, and their overlay."""

import json
import shutil
from types import SimpleNamespace

import monai.bundle
import pytest
import torch

from bundle.handlers.model_overlay import PROVENANCE
from bundle.preferences.store.judgement_store import JudgementStore
from bundle.state_files import read_state, state_sha256
from scripts.annotate import open_click_service, parser
from tests.integration.commands import ADAPT, EVALUATE, SOURCE, TRAINING, call, command, refusal

PAPER = "configs/presets/paper.json"
INFER = "configs/inference.json"
PREFER = ["configs/train.json", "configs/prefer.json", "configs/candidates.json"]
SMALL = {
    "image_encoder#embed_dim": 16,
    "image_encoder#depth": 1,
    "image_encoder#num_heads": 2,
    "decoder#upscaled_channels": [8, 8],
    "decoder#depth": 1,
    "decoder#num_heads": 2,
    "decoder#mlp_dim": 16,
    "decoder#detection_channels": 8,
}
MODEL = {**SMALL, "max_points": 8, "crop_size": [32, 32], "pixel_size": 20, "normalize#0#upper": 95.0}
RUNNING = {**TRAINING, "crop_size": [32, 32], "rotations": 1}


def run(files, run_id="run", **settings):
    monai.bundle.run(run_id, config_file=[str(file) for file in files], logging_file=False, **settings)


@pytest.fixture(scope="module")
def trained(domain_pair, tmp_path_factory):
    """Weights that a command trained with the papers' network, and what lies beside them."""
    folder = tmp_path_factory.mktemp("trained")
    settings = {**RUNNING, **MODEL, "source_dir": domain_pair.source, "seed": 3}
    files = [SOURCE[0], PAPER, *SOURCE[1:]]
    settings |= {"checkpoint": folder / "paper.pt", "work_dir": folder / "work"}
    typed = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
    done = call(command("run", "training", "--config_file", str(files), *typed))
    assert done.returncode == 0, done.stderr[-3000:]
    return SimpleNamespace(weights=folder / "paper.pt", overlay=folder / "paper.json", images=str(domain_pair.target))


def refused(files, run_id="run", **settings):
    return refusal(lambda: run(files, run_id, **settings))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"max_points": 64}, "max_points 8, not 64"),
        ({"network_def#dense_prompts": True}, "network_def#dense_prompts False, not True"),
        ({"normalize#0#upper": 99.5}, "normalize#0#upper 95.0, not 99.5"),
        ({"crop_size": [64, 64]}, "crop_size [32, 32], not [64, 64]"),
        ({"pixel_size": 8.0}, "pixel_size 20.0, not 8.0"),
    ],
    ids=lambda value: None if isinstance(value, str) else next(iter(value)),
)
def test_a_wrong_setting_is_refused_in_one_line(trained, in_root, tmp_path, wrong, told):
    rest = {"rotations": 1, "dataset_dir": trained.images, "output_dir": str(tmp_path / "out")}
    line = refused([INFER, PAPER], checkpoint=str(trained.weights), **{**rest, **MODEL, **wrong})
    assert line == (
        f"{trained.weights}: its training had {told}. Add its overlay behind the other configurations: --config_file "
        f"\"[..., '{trained.overlay}']\""
    )
    assert not list(tmp_path.rglob("*_mask*"))


def test_right_settings_run(trained, in_root, tmp_path):
    """Typed one by one; the pixel size may be left out, or be nearly the same."""
    rest = {"rotations": 1, "dataset_dir": f"{trained.images}/images", "output_dir": str(tmp_path / "out")}
    rest["image_pixel_size"] = 20
    for size in (None, 20.1):
        run([INFER, PAPER], checkpoint=str(trained.weights), **rest, **{**MODEL, "pixel_size": size})
    assert (tmp_path / "out" / "test_0_mask.png").is_file()


@pytest.mark.slow
def test_the_overlay_runs_it(trained, tmp_path):
    files = str([INFER, str(trained.overlay)])
    options = ["--dataset_dir", trained.images, "--output_dir", str(tmp_path), "--checkpoint", str(trained.weights)]
    done = call(command("run", "--config_file", files, *options))
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "test_1_mask.png").is_file() and "not compared" not in done.stderr


def test_the_overlay_says_where_its_weights_come_from(trained, domain_pair):
    overlay = json.loads(trained.overlay.read_text())
    said = overlay.pop(PROVENANCE)
    assert overlay.keys() == {
        *("image_encoder", "decoder", "network_def#dense_prompts", "network_def#point_features"),
        *("max_points", "crop_size", "reader", "normalize", "pixel_size"),
    }
    assert overlay["image_encoder"] == {
        "_target_": "bundle.networks.ViTEncoder",
        **{"embed_dim": 16, "depth": 1, "num_heads": 2, "patch_size": 8, "weights": None},
    }
    assert overlay["normalize"][1] == {"_target_": "NormalizeIntensityd", "keys": "image"}
    assert said["weights"] == state_sha256(read_state(trained.weights))
    assert said["parent"] is None and said["seed"] == 3
    assert said["config_files"] == [SOURCE[0], PAPER, SOURCE[1]] and "--max_points 8" in said["overrides"]
    assert said["date"].endswith("+00:00") and said["code"]["version"]
    (name, source), *more = said["data_sets"].items()
    assert (name, more) == ("source", []) and source["name"] == domain_pair.source.name
    assert source["items"].startswith("3 images, ")


def test_every_use_compares_and_takes_the_overlay(trained, in_root, tmp_path, caplog):
    """Stage 1, evaluation, candidates; the resumed training has the overlay's settings too."""
    folders = {"source_dir": trained.images, "dataset_dir": trained.images, "work_dir": str(tmp_path / "work")}
    start, result = {"init_checkpoint": str(trained.weights)}, {"checkpoint": str(tmp_path / "adapted.pt")}
    small = {**RUNNING, **folders}
    del small["crop_size"]
    stages = [
        (ADAPT, "training", {**start, **result}),
        (EVALUATE, "evaluating", {"checkpoint": str(trained.weights), "output_dir": str(tmp_path / "eval")}),
        (PREFER, "making_candidates", start),
    ]
    for (first, *rest), run_id, settings in stages:
        line = refused([first, *rest], run_id, **small, **settings)
        assert line.startswith(f"{trained.weights}: its training had ") and str(trained.overlay) in line
        run([first, trained.overlay, *rest], run_id, **small, **settings)
    adapted = json.loads((tmp_path / "adapted.json").read_text())
    before = json.loads(trained.overlay.read_text())
    said = adapted.pop(PROVENANCE)
    assert said["parent"] == before.pop(PROVENANCE)["weights"] and adapted == before
    assert said["config_files"] is None, "no command was typed"
    assert said["data_sets"].keys() == {"source", "target"}
    assert "not compared" not in caplog.text


def test_weights_without_overlay_load_with_one_warning(trained, in_root, tmp_path, caplog):
    bare = shutil.copy(trained.weights, tmp_path / "bare.pt")
    rest = {"rotations": 1, "dataset_dir": trained.images, "output_dir": str(tmp_path / "out")}
    run([INFER, trained.overlay], checkpoint=str(bare), **rest, max_points=64)
    (told,) = [record.getMessage() for record in caplog.records if "has no overlay" in record.getMessage()]
    assert told == f"{bare}: has no overlay bare.json beside it, so its settings are not compared"


def test_the_annotation_page_takes_the_overlay_by_itself(trained, tmp_path):
    options = parser().parse_args(["--data", trained.images, "--checkpoint", str(trained.weights)])
    with JudgementStore(tmp_path / "s.sqlite") as store:
        service = open_click_service(options, store)
        assert service.segment(0, [[5, 5]], [1])
        service.offer(trained.weights)
        other = json.loads(trained.overlay.read_text())
        (tmp_path / "other.json").write_text(json.dumps({**other, "max_points": 64}))
        shutil.copy(trained.weights, tmp_path / "other.pt")
        with pytest.raises(ValueError, match=r"other\.pt: its training had max_points 64, not 8"):
            service.offer(tmp_path / "other.pt")


def test_a_network_whose_tensors_do_not_tell_is_told_by_its_overlay(trained):
    """The embedding of drawn clicks is there whether clicks are drawn or not."""
    assert "prompt_encoder.dense_embeddings.weight" in torch.load(trained.weights, weights_only=True)
    assert json.loads(trained.overlay.read_text())["network_def#dense_prompts"] is False
