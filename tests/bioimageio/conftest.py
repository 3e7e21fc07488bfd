"""A small network that has learnt to find something, and its packages."""

import json

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from torch.nn.functional import binary_cross_entropy_with_logits, max_pool2d, one_hot

from bundle.synthetic.generator import generate_image
from bundle.synthetic.styles import STYLES
from scripts.fuzzing.tiny_network import NETWORK
from tests.integration.commands import ROOT

WINDOW = 64


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A checkpoint, and the overlay that describes its network."""
    folder = tmp_path_factory.mktemp("weights")
    (folder / "tiny.json").write_text(json.dumps({**NETWORK, "crop_size": [WINDOW, WINDOW]}))
    config = ConfigParser()
    config.read_config([str(ROOT / "configs" / "inference.json"), str(folder / "tiny.json")])
    torch.manual_seed(0)
    network = config.get_parsed_content("network_def")
    fit(network)
    torch.save(network.state_dict(), folder / "model.pt")
    return folder / "model.pt", folder / "tiny.json"


def fit(network, steps=120):
    """Learn the dark bodies of synthetic images, and what is near a click."""
    rng = np.random.default_rng(1)
    pairs = [generate_image(STYLES["synthetic-b"], (WINDOW, WINDOW), rng) for _ in range(8)]
    images = torch.stack([torch.from_numpy(image.T.astype(np.float32)) for image, _ in pairs])[:, None]
    truth = torch.stack([torch.from_numpy((mask.T > 0).astype(np.float32)) for _, mask in pairs])[:, None]
    images = (images - images.mean(dim=(2, 3), keepdim=True)) / images.std(dim=(2, 3), keepdim=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(steps):
        places = torch.randint(WINDOW * WINDOW, (len(images),))
        clicks = one_hot(places, WINDOW * WINDOW).reshape_as(truth).float()
        near = max_pool2d(clicks, 13, stride=1, padding=6)
        out = network(torch.cat((images, clicks, torch.zeros_like(clicks)), dim=1))
        loss = binary_cross_entropy_with_logits(out[:, :1], truth.maximum(near))
        optimizer.zero_grad()
        (loss + out[:, 1:].square().mean()).backward()
        optimizer.step()
