"""What the continuous integration of MONAI's model zoo checks before it takes a bundle, on the weights of this one."""

import json
import re
import subprocess

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, ckpt_export, verify_metadata, verify_net_in_out
from packaging.requirements import Requirement
from packaging.version import Version

from tests.integration.commands import ROOT
from tests.integration.test_bundle import REQUIRED

LARGEST = 25 * 10**6
"""Bytes of a file; larger ones are named in large_files.yml and downloaded."""
META = ROOT / "configs" / "metadata.json"
METADATA = json.loads(META.read_text())
INFERENCE = ROOT / "configs" / "inference.json"
MODEL = ROOT / "models" / "model.pt"
NECESSARY = ("configs/metadata.json", "LICENSE")
PREFERRED = ("configs/inference.json", "models/model.pt")
SCHEMA = {
    "type": "object",
    "required": REQUIRED,
    "properties": {
        "version": {"type": "string"},
        "changelog": {"type": "object", "additionalProperties": {"type": "string"}},
        "required_packages_version": {"type": "object", "additionalProperties": {"type": "string"}},
        "network_data_format": {"type": "object", "required": ["inputs", "outputs"]},
    },
}
"""What MONAI's schema asks for at least; the zoo downloads it, tests do not."""

shipped = pytest.mark.skipif(not MODEL.is_file(), reason="there are no weights in models/model.pt yet")


def large_files() -> dict[str, str]:
    """Address of each file that is downloaded, by its path."""
    found = [ROOT / f"large_files.{suffix}" for suffix in ("yml", "yaml", "json")]
    lists = [ConfigParser.load_config_file(path)["large_files"] for path in found if path.is_file()]
    return {entry["path"]: entry["url"] for entries in lists for entry in entries}


def files() -> list[str]:
    """The files of the repository, as a clone has them."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("this is no git repository, so which files belong to it is not known")
    return [name for name in done.stdout.split("\0") if (ROOT / name).is_file()]


def test_necessary_files_are_there():
    assert set(NECESSARY) <= set(files())
    assert PREFERRED[0] in files()


@shipped
def test_weights_are_there():
    assert PREFERRED[1] in {*files(), *large_files()}


def test_no_file_is_too_large():
    sizes = {name: (ROOT / name).stat().st_size for name in files()}
    assert {name: size for name, size in sizes.items() if size > LARGEST} == {}
    assert set(sizes) & set(large_files()) == set(), "named as large, and part of the repository"
    assert sum(size for name, size in sizes.items() if name.startswith("models/")) <= LARGEST
    for path, url in large_files().items():
        assert url.startswith("https://") and ".." not in path and not path.startswith("/")


def test_the_changelog_has_the_version():
    assert METADATA["version"] in METADATA["changelog"] and Version(METADATA["version"])


def test_metadata_has_the_format(tmp_path):
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    verify_metadata(meta_file=str(META), filepath=str(tmp_path / "schema.json"))
    (tmp_path / "metadata.json").write_text(json.dumps({k: v for k, v in METADATA.items() if k != "task"}))
    with pytest.raises(ValueError, match="task"):
        verify_metadata(meta_file=str(tmp_path / "metadata.json"), filepath=str(tmp_path / "schema.json"))


def test_the_zoo_can_install_what_the_bundle_imports():
    """It installs these versions and nothing else: each is one version, and none of our dependencies is missing."""
    project = (ROOT / "pyproject.toml").read_text().partition("[project.optional-dependencies]")[0]
    wanted = {Requirement(found).name for found in re.findall(r'^  "([^"]*)"', project, re.MULTILINE)}
    own = {"torch": "pytorch_version", "monai": "monai_version", "numpy": "numpy_version"}
    pins = {name: METADATA[key] for name, key in own.items()} | METADATA["required_packages_version"]
    assert wanted - set(pins) == {"tensorboard"}, "missing; only stage 2 draws its curves"
    for version in pins.values():
        Version(version)


def test_the_network_takes_and_gives_what_metadata_says(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    verify_net_in_out(
        net_id="network_def", meta_file=str(META), config_file=str(INFERENCE), bundle_root=str(ROOT), device="cpu"
    )


@shipped
@pytest.mark.slow
def test_weights_become_torchscript(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    ckpt_export(
        net_id="network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(MODEL),
        meta_file=str(META),
        config_file=str(INFERENCE),
        bundle_root=str(ROOT),
    )
    with torch.no_grad():
        assert torch.jit.load(tmp_path / "model.ts")(torch.zeros(1, 3, 256, 256)).shape == (1, 2, 256, 256)


def workflow(kind, *files, **settings):
    """A workflow as the zoo's unit tests make it."""
    return ConfigWorkflow(
        [str(ROOT / file) for file in files],
        workflow_type=kind,
        logging_file=False,
        meta_file=str(META),
        bundle_root=str(ROOT),
        device="$torch.device('cpu')",
        num_workers=0,
        **settings,
    )


@shipped
@pytest.mark.slow
def test_train_evaluate_and_infer(domain_pair, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    domains = {"source_dir": str(domain_pair.source), "dataset_dir": str(domain_pair.target)}
    adapted = tmp_path / "models" / "adapted.pt"
    train = workflow(
        "train",
        "configs/train.json",
        "models/model.json",
        **domains,
        points="points_15.json",
        init_checkpoint=str(MODEL),
        checkpoint=str(adapted),
        work_dir=str(tmp_path / "work"),
        max_epochs=1,
        epoch_length=1,
        batch_size=1,
        queries=8,
        negatives=8,
    )
    train.initialize()
    assert train.check_properties() == []
    train.run()
    train.finalize()

    evaluate = workflow(
        "train",
        "configs/train.json",
        adapted.with_suffix(".json"),
        "configs/evaluate.json",
        **domains,
        checkpoint=str(adapted),
        output_dir=str(tmp_path / "eval"),
    )
    evaluate.initialize()
    evaluate.run()
    evaluate.finalize()
    assert (tmp_path / "eval" / "metrics.csv").is_file()

    infer = workflow(
        "infer",
        "configs/inference.json",
        "models/model.json",
        dataset_dir=str(domain_pair.target),
        output_dir=str(tmp_path / "masks"),
    )
    infer.initialize()
    assert infer.check_properties() == []
    infer.run()
    infer.finalize()
    assert len(list((tmp_path / "masks").glob("*_mask.png"))) == 2
