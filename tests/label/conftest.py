"""A small network that all servers of these tests serve."""

import pytest
import torch
from monai.bundle import ConfigParser

from tests.conftest import write_domain
from tests.integration.commands import ROOT
from tests.label.served import fit_to_clicks, write_overlay


@pytest.fixture(scope="session")
def bundle_files(tmp_path_factory):
    """A checkpoint of a small network, and the overlay that describes it."""
    folder = tmp_path_factory.mktemp("bundle")
    source = write_domain(folder / "source", 0, 90)
    overlay = write_overlay(folder / "tiny.json", source, folder / "start.pt")
    config = ConfigParser()
    config.read_config([str(ROOT / "configs" / "inference.json"), str(overlay)])
    torch.manual_seed(0)
    network = config.get_parsed_content("network_def")
    fit_to_clicks(network)
    torch.save(network.state_dict(), folder / "start.pt")
    return folder / "start.pt", overlay
