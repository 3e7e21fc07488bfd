from pathlib import Path

import pytest

from tests.conftest import DomainPair
from tests.integration.commands import ROOT, SOURCE, run_here


@pytest.fixture
def in_root(monkeypatch):
    """Bundle commands run from the repository root."""
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="session")
def source_weights(domain_pair: DomainPair, tmp_path_factory) -> Path:
    """Weights of a source training of one epoch."""
    folder = tmp_path_factory.mktemp("source_weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        run_here(SOURCE, source_dir=str(domain_pair.source), checkpoint=str(folder / "source.pt"), work_dir=str(folder))
    return folder / "source.pt"


@pytest.fixture
def settings(domain_pair, source_weights, tmp_path, in_root):
    """An adaptation whose results go to ``tmp_path``."""
    return {
        "source_dir": str(domain_pair.source),
        "dataset_dir": str(domain_pair.target),
        "points": "points_15.json",
        "init_checkpoint": str(source_weights),
        "checkpoint": str(tmp_path / "models" / "adapted.pt"),
        "work_dir": str(tmp_path / "work"),
    }
