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
