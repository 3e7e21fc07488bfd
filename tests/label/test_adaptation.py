"""The training of MONAI Label, as far as it needs no server."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("monailabel", reason="MONAI Label has an environment of its own: make label-test")

import numpy as np
import torch

from bundle.data.points import Clicks
from bundle.errors import DataError, SettingError
from bundle.handlers import shipped_weights
from tests.conftest import write_domain
from tests.image_writers import write_fiji
from tests.integration.commands import ROOT
from tests.label.served import MODEL, write_studies

ODD = ["a::b", "$__import__('os').abort()", "@##x", "%y", "@source#data"]


@pytest.fixture
def app(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts" / "label_app")
    for name in [name for name in sys.modules if name == "lib" or name.startswith("lib.")]:
        monkeypatch.delitem(sys.modules, name)
    import lib.adaptation
    import lib.app
    import lib.devices

    found = {"start_of": lib.app.start_of, "first": shipped_weights}
    return SimpleNamespace(adaptation=lib.adaptation, devices=lib.devices, **found)


@pytest.fixture
def task(app, bundle_files, tmp_path):
    checkpoint, overlay = bundle_files
    files = [str(ROOT / "configs" / "train.json"), str(overlay), str(checkpoint.with_suffix(".json"))]
    given = {str(tmp_path / "@#studies::" / f"{ODD[0]}.nrrd"): Clicks([[40, 20]], [1])}
    return app.adaptation.AdaptationTask(ROOT, files, [checkpoint], tmp_path / "@#out::" / "adapted.pt", lambda: given)


def test_names_of_files_are_no_configuration(task, tmp_path):
    """The parser would rewrite or run them; the folder of the studies is named like that as well."""
    studies = write_studies(tmp_path / "@#studies::")
    for path, name in zip(sorted(studies.glob("*.*")), ODD, strict=True):
        path.rename(studies / (name + path.suffix))
    images = {path.name: str(path) for path in studies.iterdir()}
    store = SimpleNamespace(list_images=lambda: list(images), get_image_uri=images.get, datalist=lambda: [])
    assert task({"device": "cpu", "max_epochs": 1}, store)["clicked"] == 1
    assert torch.load(tmp_path / "@#out::" / "adapted.pt", weights_only=True)
    written = json.loads((tmp_path / "@#out::" / "adapted.json").read_text())
    assert written["max_points"] == MODEL["max_points"]
    assert written["_provenance_"]["data_sets"]["target"]["name"] == r"\x40#studies::"


def test_the_pixel_size_is_that_of_the_source(app, bundle_files, tmp_path):
    """The studies have no datalist, and another target folder that lies there has nothing to say."""
    other = write_domain(tmp_path / "other", 1, 60)
    (other / "datalist.json").write_text((other / "datalist.json").read_text().replace("20.0", "8.0"))
    overlay = tmp_path / "overlay.json"
    overlay.write_text(json.dumps({**json.loads(bundle_files[1].read_text()), "dataset_dir": str(other)}))
    files = [str(ROOT / "configs" / "train.json"), str(overlay), str(bundle_files[0].with_suffix(".json"))]
    studies = write_studies(tmp_path / "studies")
    images = {path.name: str(path) for path in studies.iterdir()}
    given = {images["png_0.png"]: Clicks([[40, 20]], [1])}
    task = app.adaptation.AdaptationTask(ROOT, files, [bundle_files[0]], tmp_path / "out" / "a.pt", lambda: given)
    store = SimpleNamespace(list_images=lambda: list(images), get_image_uri=images.get, datalist=lambda: [])
    assert task({"device": "cpu", "max_epochs": 1}, store)["clicked"] == 1


def test_synthetic_tissue_is_the_source_when_none_is_named(app, bundle_files, tmp_path):
    """At the pixel size of the weights, for the studies have no datalist."""
    own = {"synthetic_images": 2, "synthetic_shape": [40, 48], "synthetic_dir": str(tmp_path / "synthetic")}
    named = json.loads(bundle_files[1].read_text())
    del named["source_dir"]
    (tmp_path / "overlay.json").write_text(json.dumps({**named, **own}))
    start = bundle_files[0]
    files = [str(ROOT / "configs" / "train.json"), str(tmp_path / "overlay.json"), str(start.with_suffix(".json"))]
    studies = write_studies(tmp_path / "studies")
    images = {path.name: str(path) for path in studies.iterdir()}
    given = {images["png_0.png"]: Clicks([[40, 20]], [1])}
    task = app.adaptation.AdaptationTask(ROOT, files, [start], tmp_path / "out" / "a.pt", lambda: given)
    store = SimpleNamespace(list_images=lambda: list(images), get_image_uri=images.get, datalist=lambda: [])
    assert task({"device": "cpu", "max_epochs": 1}, store)["clicked"] == 1
    written = json.loads((tmp_path / "out" / "a.json").read_text())
    assert written["pixel_size"] == 20.0 and written["_provenance_"]["data_sets"]["source"]["name"] == "synthetic"
    assert len(list((tmp_path / "synthetic").rglob("*.png"))) == 4


def test_a_server_that_knows_no_pixel_size_ends_with_one_line(bundle_files, tmp_path):
    overlay, studies = tmp_path / "overlay.json", tmp_path / "studies"
    overlay.write_text(json.dumps({**json.loads(bundle_files[1].read_text()), "source_dir": str(tmp_path / "none")}))
    studies.mkdir()
    start = Path(shutil.copy(bundle_files[0], tmp_path))
    known = json.loads(bundle_files[0].with_suffix(".json").read_text())
    start.with_suffix(".json").write_text(json.dumps({**known, "pixel_size": None}))
    options = {"studies": studies, "config": overlay, "checkpoint": start, "port": 0}
    given = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    line = [sys.executable, "-m", "scripts.label_server", *given]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: {tmp_path}/none: tells no pixel size; give pixel_size")


def test_a_server_starts_with_what_is_named_or_with_the_first_weights(app, tmp_path, monkeypatch):
    monkeypatch.setattr(app.first, "MODELS", tmp_path)
    overlay = tmp_path / "overlay.json"
    overlay.write_text(json.dumps({"checkpoint": "$@bundle_root + '/models/mine.pt'"}))
    inference = str(ROOT / "configs" / "inference.json")
    with pytest.raises(DataError, match=r"model_synthetic\.pt: no such checkpoint"):
        app.start_of({}, [inference])
    (tmp_path / "model_synthetic.pt").touch()
    assert app.start_of({}, [inference]) == tmp_path / "model_synthetic.pt"
    with pytest.raises(DataError, match=r"models/mine\.pt: no such checkpoint"):
        app.start_of({}, [inference, str(overlay)])
    (tmp_path / "adapted.pt").touch()
    assert app.start_of({}, [inference]) == tmp_path / "adapted.pt"
    assert app.start_of({"checkpoint": str(overlay)}, [inference]) == overlay


def test_the_bundle_may_lie_in_an_odd_folder(app, bundle_files, tmp_path):
    files = [str(ROOT / "configs" / "train.json"), str(bundle_files[1])]
    task = app.adaptation.AdaptationTask(tmp_path / "@a#b", files, [], tmp_path / "adapted.pt", dict)
    assert task.parser.get_parsed_content("bundle_root") == str(tmp_path / "@a#b")


def test_values_of_a_request_are_checked(task):
    assert task.asked({"device": ["cpu"], "max_epochs": 3, "pretrained": False}) == ("cpu", 3, False)
    assert task.asked({"anything": "else"})[1:] == (1, True)
    for wrong in (
        {"device": "$x"},
        {"max_epochs": "1"},
        {"max_epochs": True},
        {"max_epochs": 10**6},
        {"pretrained": 1},
    ):
        with pytest.raises(SettingError, match=next(iter(wrong))):
            task.asked(wrong)


@pytest.mark.parametrize("count, expected", [(0, ["cpu"]), (2, ["cuda", "cuda:0", "cuda:1", "cpu"])])
def test_devices_are_those_that_exist(app, monkeypatch, count, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert app.devices.devices() == expected
    assert app.devices.chosen_device(None) == expected[0]
    with pytest.raises(SettingError, match=r"device is 'cuda:2', expected"):
        app.devices.chosen_device("cuda:2")


def test_images_of_another_pixel_size_are_not_trained_on(app, bundle_files, tmp_path):
    files = [str(ROOT / "configs" / "train.json"), str(bundle_files[1]), str(bundle_files[0].with_suffix(".json"))]
    path = write_fiji(tmp_path / "a.tif", np.zeros((50, 70), np.uint8), 8.0)
    store = SimpleNamespace(list_images=lambda: ["a"], get_image_uri=lambda _: str(path), datalist=lambda: [])
    given = {str(path): Clicks([[40, 20]], [1])}
    task = app.adaptation.AdaptationTask(ROOT, files, [bundle_files[0]], tmp_path / "out" / "a.pt", lambda: given)
    with pytest.raises(DataError, match=r"a\.tif: has pixels of 8 nm, but .* those of the source, 20 nm"):
        task({"device": "cpu", "max_epochs": 1}, store)
