"""A small network that all servers of these tests serve."""

import pytest
import torch
from monai.bundle import ConfigParser

from bundle.handlers.model_overlay import overlay_text
from bundle.state_files import write_state
from tests.conftest import write_domain
from tests.integration.commands import ROOT
from tests.label.served import MODEL, fit_to_clicks, write_overlay


@pytest.fixture(scope="session")
def bundle_files(tmp_path_factory):
    """A checkpoint of a small network, beside which its overlay lies, and an overlay for a small training."""
    folder = tmp_path_factory.mktemp("bundle")
    source = write_domain(folder / "source", 0, 90)
    overlay = write_overlay(folder / "tiny.json", source, folder / "start.pt")
    config = ConfigParser()
    config.read_config([str(ROOT / "configs" / "inference.json"), str(overlay)])
    config.update({**MODEL, "pixel_size": 20.0})
    torch.manual_seed(0)
    network = config.get_parsed_content("network_def")
    fit_to_clicks(network)
    settings, state = config.get_parsed_content("model_settings"), network.state_dict()
    write_state(state, folder / "start.pt", beside={folder / "start.json": overlay_text(settings, {}, state)})
    return folder / "start.pt", overlay
