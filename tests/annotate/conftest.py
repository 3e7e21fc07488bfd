import json

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from monai.bundle import ConfigParser
from monai.data import Dataset

from bundle import keys as K
from bundle.annotate.click_service import ClickService
from bundle.annotate.request_guard import Gate
from bundle.annotate.server import create_app
from bundle.annotate.training_process import Training
from bundle.annotate.vote_service import VoteService
from bundle.data.image_files import read_image
from bundle.inferers import PromptedSlidingWindowInferer
from bundle.networks import ConvEncoder, PromptableSegmenter
from bundle.preferences.questions.questionnaire import Questionnaire
from bundle.preferences.store.judgement_store import JudgementStore
from tests.annotate.real_server import Server
from tests.conftest import write_domain
from tests.integration.commands import NETWORK, ROOT, TRAINING


@pytest.fixture
def domain(tmp_path):
    """A domain folder of three training images."""
    return write_domain(tmp_path / "domain", 0, 90)


def load(path):
    em = torch.from_numpy(np.asarray(read_image(path), np.float32)).squeeze()
    return ((em - em.mean()) / em.std())[None]


@pytest.fixture
def store(tmp_path):
    with JudgementStore(tmp_path / "preferences.sqlite") as opened:
        yield opened


@pytest.fixture
def click_service(domain, store, tmp_path):
    torch.manual_seed(0)
    decoder = {"upscaled_channels": [8, 8], "depth": 1, "num_heads": 2, "mlp_dim": 16, "detection_channels": 8}
    network = PromptableSegmenter(ConvEncoder([8, 8, 16], [1, 1, 1]), max_points=6, decoder=decoder).eval()
    torch.save(network.state_dict(), tmp_path / "start.pt")
    inferer = PromptedSlidingWindowInferer([32, 32], max_points=6)
    return ClickService(domain, "training", "points.json", store, load, network, inferer)


class Shifted:
    """Candidates: dark pixels, and the same two pixels further to either side."""

    def __call__(self, policy, others, image, key=""):
        dark = image[0].numpy() < -1
        masks = np.stack([dark, np.roll(dark, 2, 0), np.roll(dark, -2, 0)])
        return masks, ["as it is", "right", "left"], np.full(dark.shape, 0.5, np.float32)


@pytest.fixture
def vote_service(domain, click_service, store, tmp_path):
    items = [{K.IMAGE: str(path)} for path in click_service.paths]
    images = Dataset(
        items, lambda item: {K.IMAGE: torch.cat((load(item[K.IMAGE]), torch.zeros(2, *load(item[K.IMAGE]).shape[1:])))}
    )
    asks = Questionnaire(images, Shifted(), tmp_path / "candidates", "grid:16")
    asks.open(torch.nn.Linear(1, 1), store.path)
    return VoteService(store, {str(path): i for i, path in enumerate(click_service.paths)}, tmp_path / "candidates")


@pytest.fixture
def training(click_service, vote_service, domain, tmp_path, monkeypatch):
    """Stage 2 of the small network, of three epochs."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    overlay = tmp_path / "tiny.json"
    overlay.write_text(json.dumps({**NETWORK, **TRAINING, "max_points": 6, "prefer_epochs": 3, "region_size_nm": 320}))
    settings = {
        "dataset_dir": domain,
        "init_checkpoint": tmp_path / "start.pt",
        "checkpoint": tmp_path / "model.pt",
        "work_dir": tmp_path,
        "store": vote_service.store.path,
        "candidates_dir": tmp_path / "candidates",
    }
    made = Training(ROOT, [overlay], settings, domain / "points.json", vote_service.store, click_service.offer)
    yield made
    made.stop()


@pytest.fixture
def app(click_service, vote_service, training):
    return create_app(click_service, vote_service, training)


@pytest.fixture
def client(app):
    with TestClient(Gate(app), base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def paths(domain, vote_service, tmp_path):
    """Options of ``python -m scripts.annotate`` for a network as the configurations have it."""
    config = ConfigParser()
    config.read_config(ROOT / "configs" / "inference.json")
    torch.save(config.get_parsed_content("network_def").state_dict(), tmp_path / "network.pt")
    return {
        "--data": domain,
        "--checkpoint": tmp_path / "network.pt",
        "--store": vote_service.store.path,
        "--candidates": tmp_path / "candidates",
        "--trained": tmp_path / "model.pt",
    }


@pytest.fixture
def server(paths):
    """The real server."""
    running = Server(*(part for pair in paths.items() for part in pair))
    yield running
    running.kill()
