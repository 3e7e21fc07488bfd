import json
import shutil
import subprocess
import sys

import pytest
import torch
from monai.bundle import ConfigParser

from bundle.handlers import Provenance, provenance
from bundle.state_files import state_sha256

STATE = {"w": torch.ones(2)}


def record(tmp_path, **changes):
    folder = tmp_path / "domain"
    folder.mkdir(exist_ok=True)
    given = {
        "seed": 5,
        "parent": None,
        "folders": {"source": folder},
        "items": {"source_data": "3 images, 0 clicks, ab"},
    }
    return Provenance(**{**given, **changes}).record()


def typed(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["/x/monai/bundle/__main__.py", "run", "training", *arguments])


def test_a_command_is_told_as_it_was_typed(tmp_path, monkeypatch):
    typed(monkeypatch, "--config_file", "['configs/train.json','b.json']", "--seed", "5", "--train#trainer#amp", "True")
    said = record(tmp_path)
    assert said["config_files"] == ["configs/train.json", "b.json"]
    assert said["overrides"] == ["--seed 5", "--train#trainer#amp True"]


def test_one_configuration_is_a_list_too(tmp_path, monkeypatch):
    typed(monkeypatch, "--config_file", "configs/train.json")
    assert record(tmp_path)["config_files"] == ["configs/train.json"]


def test_a_program_types_nothing(tmp_path):
    said = record(tmp_path)
    assert said["config_files"] is None and said["overrides"] is None and said["seed"] == 5


def test_no_text_of_it_is_read_by_a_configuration(tmp_path, monkeypatch):
    typed(monkeypatch, "--config_file", "['%a.json','$b.json']", "--points", "@#c%##d$import os")
    said = record(tmp_path, folders={"source": tmp_path / "$import x"})
    parser = ConfigParser({"a": 1, "_provenance_": said})
    before = json.dumps(said).replace("#", "::")  # MONAI's other way to write it
    assert parser.get_parsed_content("a") == 1
    assert json.dumps(parser["_provenance_"]) == before and "\\x25a.json" in said["config_files"]


def test_the_parent_is_known_by_its_weights(tmp_path):
    torch.save(STATE, tmp_path / "parent.pt")
    assert record(tmp_path, parent=tmp_path / "parent.pt")["parent"] == state_sha256(STATE)
    assert record(tmp_path)["parent"] is None


def test_data_sets_are_those_that_are_learnt_from(tmp_path):
    folder = tmp_path / "seed0"
    folder.mkdir()
    (folder / "datalist.json").write_text(json.dumps({"name": "vnc", "training": []}))
    folders = {"source": folder, "target": tmp_path / "domain"}
    assert record(tmp_path, folders=folders)["data_sets"] == {
        "source": {"name": "vnc", "items": "3 images, 0 clicks, ab"}
    }
    both = {"source_data": "s", "target_data": "t", "alpha": 1}
    assert record(tmp_path, folders=folders, items=both)["data_sets"]["target"] == {"name": "domain", "items": "t"}


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_commit_is_that_of_the_code(tmp_path, monkeypatch):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "metadata.json").write_text('{"version": "9.9"}')
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    assert record(tmp_path)["code"] == {"version": "9.9", "commit": None}
    for step in (["init", "-q"], ["add", "configs"], ["commit", "-qm", "x"], ["tag", "v1"]):
        subprocess.run([*git, *step], check=True)
    commit = record(tmp_path)["code"]["commit"]
    assert len(commit) == 40 and set(commit) <= set("0123456789abcdef")
    (tmp_path / "configs" / "metadata.json").write_text('{"version": "9.9.1"}')
    assert record(tmp_path)["code"]["commit"] == f"{commit}-dirty"


def test_synthetic_tissue_is_called_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "synthetic").mkdir()
    (tmp_path / "synthetic" / "datalist.json").write_text('{"name": "another"}')  # a folder of that name is not meant
    items = {"source_data": "200 images, 0 clicks, ab"}
    said = record(tmp_path, folders={"source": "synthetic"}, items=items)
    assert said["data_sets"] == {"source": {"name": "synthetic", "items": items["source_data"]}}
