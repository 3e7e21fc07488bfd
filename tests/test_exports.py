"""What the configurations name is exported by its package, so that names in JSON are short and files may move."""

import importlib
import re
from pathlib import Path

import pytest

CONFIGS = sorted((Path(__file__).parents[1] / "configs").rglob("*.json"))
NAMES = sorted({name for file in CONFIGS for name in re.findall(r"bundle(?:\.\w+)+", file.read_text(encoding="utf-8"))})


def test_configurations_name_things() -> None:
    assert "bundle.networks.PromptableSegmenter" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_there_and_of_the_package_that_exports(name: str) -> None:
    module, _, thing = name.rpartition(".")
    assert callable(getattr(importlib.import_module(module), thing))
    package = module.rpartition(".")[0]
    exported = getattr(importlib.import_module(package), "__all__", None) if package else None
    assert not exported, f"{package} exports names: let it export {thing}, and name {package}.{thing}"
