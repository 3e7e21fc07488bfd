"""What the browser tests work on: synthetic images, a network that heeds clicks, questions, and the real server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.measure import label, regionprops
from torch.nn import functional as F

from bundle.data.domain_folder import write_datalist
from bundle.networks import ConvEncoder, PromptableSegmenter
from bundle.preferences.store.judgement_store import JudgementStore
from bundle.synthetic.generator import generate_image
from bundle.synthetic.styles import STYLES
from tests.integration.commands import ROOT, TRAINING, run_here

IMAGES, WIDTH, HEIGHT = 4, 256, 192
DECODER = {"upscaled_channels": [16, 16], "depth": 1, "num_heads": 4, "mlp_dim": 64, "detection_channels": 8}
CHANNELS, BLOCKS = [16, 24, 32], [1, 1, 1]
SETTINGS = {
    **TRAINING,
    **{f"decoder#{name}": value for name, value in DECODER.items()},
    "image_encoder#channels": CHANNELS,
    "image_encoder#blocks": BLOCKS,
    "crop_size": [96, 96],
    "prefer_epochs": 6,
    "epoch_length": 5,
    "prefer_learning_rate": 3e-4,
}


@dataclass(frozen=True)
class Workplace:
    """Folders and files of a person's work.

    Attributes:
        folder: all of it.
        centres: for each image a pixel (x, y) well inside of each mitochondrion, the largest first.
    """

    folder: Path
    centres: list[list[tuple[int, int]]]

    @property
    def domain(self) -> Path:
        """The domain folder."""
        return self.folder / "domain"

    @property
    def store(self) -> JudgementStore:
        """The store, open."""
        return JudgementStore(self.folder / "preferences.sqlite", create=False)


def make_workplace(folder: Path) -> Workplace:
    """Images, a network, candidates and questions."""
    random = np.random.default_rng(5)
    pairs = [generate_image(STYLES["synthetic-b"], (HEIGHT, WIDTH), random) for _ in range(IMAGES)]
    (folder / "domain" / "images").mkdir(parents=True)
    names = [f"images/section_{i:02}.png" for i in range(IMAGES)]
    for name, (image, _) in zip(names, pairs, strict=True):
        Image.fromarray(image).save(folder / "domain" / name)
    write_datalist(folder / "domain", "synthetic", 20.0, {"training": [{"image": name} for name in names]})
    torch.save(trained_network(pairs).state_dict(), folder / "start.pt")
    overlay = folder / "small.json"
    overlay.write_text(json.dumps(SETTINGS))
    run_here(
        ["configs/train.json", str(overlay), "configs/prefer.json", "configs/candidates.json"],
        run_id="making_candidates",
        **SETTINGS,
        dataset_dir=str(folder / "domain"),
        init_checkpoint=str(folder / "start.pt"),
        work_dir=str(folder),
        region_size_nm=640.0,
        min_disputed=12,
    )
    return Workplace(folder, [centres(mask) for _, mask in pairs])


def trained_network(pairs: list[tuple[np.ndarray, np.ndarray]], steps: int = 400) -> PromptableSegmenter:
    """A network that has learnt to segment what was clicked and nothing else, from the very images."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    network = PromptableSegmenter(ConvEncoder(CHANNELS, BLOCKS), decoder=DECODER)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    known = [(normalised(image), label(mask.T > 0, connectivity=2)) for image, mask in pairs]
    for _ in range(steps):
        items = [crop(*known[random.integers(len(known))], random) for _ in range(6)]
        image, wanted = (torch.from_numpy(np.stack(part)).float() for part in zip(*items, strict=True))
        loss = F.binary_cross_entropy_with_logits(network(image)[:, 0], wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def crop(em: np.ndarray, instances: np.ndarray, random: np.random.Generator, side: int = 64):
    """A part of an image with clicks in some of its instances (3,side,side), and those instances (side,side)."""
    x, y = (int(random.integers(size - side + 1)) for size in em.shape)
    em, instances = em[x : x + side, y : y + side], instances[x : x + side, y : y + side]
    clicks, wanted = np.zeros((2, side, side)), np.zeros((side, side))
    for number in np.unique(instances[instances > 0]):
        if random.random() < 0.5:
            continue
        inside = np.argwhere(instances == number)
        x, y = inside[random.integers(len(inside))]
        clicks[0, x, y] = 1
        wanted[instances == number] = 1
    return np.concatenate((em[None], clicks)), wanted


def normalised(image: np.ndarray) -> np.ndarray:
    """(H,W) uint8 to (X,Y), about as the configurations do it."""
    low, high = np.percentile(image, (0.5, 99.5))
    em = np.clip((image.T - low) / (high - low), 0, 1)
    return (em - em.mean()) / em.std()


def centres(mask: np.ndarray) -> list[tuple[int, int]]:
    """(x, y) of the pixel of each instance of (H,W) that is nearest to its middle, the largest first."""
    found = []
    for region in sorted(regionprops(label(mask > 0, connectivity=2)), key=lambda region: -region.area):
        row, column = region.coords[np.argmin(((region.coords - region.centroid) ** 2).sum(axis=1))]
        found.append((int(column), int(row)))
    return found


class Server:
    """``python -m scripts.annotate`` on a free port of the loopback."""

    def __init__(self, workplace: Workplace) -> None:
        options = {
            "--data": workplace.domain,
            "--checkpoint": workplace.folder / "start.pt",
            "--config": workplace.folder / "small.json",
            "--store": workplace.folder / "preferences.sqlite",
            "--candidates": workplace.folder / "candidates",
            "--trained": workplace.folder / "model.pt",
            "--port": 0,
        }
        line = [sys.executable, "-m", "scripts.annotate", *(str(part) for pair in options.items() for part in pair)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(line, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        said = self.process.stdout.readline()
        assert said.startswith("open http://127.0.0.1:"), said
        self.address = said.split()[1]
        self.url = self.address.partition("/?")[0]

    def close(self) -> None:
        """End it as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(60) == 0
