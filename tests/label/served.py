"""A real MONAI Label server on the loopback, and a network whose masks follow clicks."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import itk
import numpy as np
import requests
import torch
from PIL import Image
from torch.nn import functional as F

from bundle.synthetic.generator import generate_image
from bundle.synthetic.styles import STYLES
from tests.integration.commands import NETWORK, ROOT, TINY

WIDTH, HEIGHT = 88, 56
RADIUS = 5
START_SECONDS = 180
MODEL = {**NETWORK, "crop_size": TINY["crop_size"], "max_points": 16}
"""What only the overlay beside the weights says."""
TOKEN = "correct-horse-battery-staple"


class Server:
    """A running server.

    Args:
        url: its address.
        studies: its folder of images.
        token: what requests carry, if anything.
    """

    def __init__(self, url: str, studies: Path, token: str | None = None) -> None:
        self.url = url
        self.studies = studies
        self.session = requests.Session()
        if token:
            self.session.headers["authorization"] = f"token {token}"

    def ask(self, method: str, path: str, **options):
        return self.session.request(method, self.url + path, **{"timeout": 300, **options})

    def get(self, path: str, **options):
        return self.ask("GET", path, **options)

    def post(self, path: str, **options):
        return self.ask("POST", path, **options)

    def infer(self, model: str, image: str, /, **params):
        """The response to a request for a mask."""
        form = {"params": (None, json.dumps(params))}
        return self.post(f"/infer/{model}?image={image}&output=image", files=form)

    def mask(self, model: str, image: str, /, **params) -> np.ndarray:
        """Mask (rows, columns) of a response that must be good."""
        response = self.infer(model, image, **params)
        assert response.status_code == 200, response.text
        name = response.headers["content-disposition"].split('filename="')[1].rstrip('"')
        file = self.studies.parent / f"answer{''.join(Path(name).suffixes)}"
        file.write_bytes(response.content)
        return itk.array_from_image(itk.imread(str(file)))

    def put_label(self, image: str, label: Path):
        with label.open("rb") as file:
            form = {"params": (None, "{}"), "label": (label.name, file)}
            return self.ask("PUT", f"/datastore/label?image={image}", files=form)

    def remove_label(self, image: str) -> int:
        """Remove a final label; returns how many are left, once the server has seen that the file is gone."""
        before = self.get("/datastore/").json()["completed"]
        assert self.ask("DELETE", f"/datastore/label?id={image}&tag=final").status_code == 200
        for _ in range(40):
            left = self.get("/datastore/").json()["completed"]
            if left < before:
                break
            time.sleep(0.25)
        return left

    def wait_for(self, task: str) -> dict:
        """The state of a background task, when it has ended."""
        for _ in range(600):
            response = self.get(f"/{task}/")
            if response.status_code == 200 and response.json()["status"] in ("DONE", "ERROR", "STOPPED"):
                return response.json()
            time.sleep(0.5)
        raise AssertionError(f"{task} did not end: {response.text[-2000:]}")


@contextmanager
def serving(studies: Path, log: Path, *options: str):
    """Start our server, and stop it and all that it started in the end."""
    command = [sys.executable, "-m", "scripts.label_server", "--studies", str(studies), *options]
    with running([*command, "--token", TOKEN], studies, log, TOKEN, PYTHONPATH=str(ROOT)) as server:
        yield server


@contextmanager
def serving_with_stock_server(app: Path, studies: Path, log: Path, *conf: str):
    """Start MONAI Label's own server with an app."""
    options = [part for i in range(0, len(conf), 2) for part in ("--conf", *conf[i : i + 2])]
    command = [sys.executable, "-m", "monailabel.main", "start_server", "--app", str(app), "--studies", str(studies)]
    with running([*command, "--host", "127.0.0.1", *options], studies, log) as server:
        yield server


@contextmanager
def running(command: list[str], studies: Path, log: Path, token: str | None = None, **variables: str):
    """Run a server on a free port while the block runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*command, "--port", str(port)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    with log.open("w") as out:
        process = subprocess.Popen(
            command, cwd=log.parent, env=environment, stdout=out, stderr=out, start_new_session=True
        )
    try:
        server = Server(f"http://127.0.0.1:{port}", studies, token)
        for _ in range(2 * START_SECONDS):
            assert process.poll() is None, log.read_text()[-3000:]
            try:
                server.get("/info/")
                break
            except requests.ConnectionError:
                time.sleep(0.5)
        yield server
    finally:
        with suppress(ProcessLookupError):  # it may have ended by itself; its group has what it started
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def write_studies(folder: Path) -> Path:
    """Five images that are not square, named for their formats."""
    folder.mkdir()
    for i, suffix in enumerate((".png", ".tif", ".tiff", ".nrrd", ".png")):
        rows, _ = generate_image(STYLES["synthetic-a"], (HEIGHT, WIDTH), np.random.default_rng(i))
        name = folder / f"{suffix[1:]}_{i}{suffix}"
        if suffix == ".nrrd":
            image = itk.image_from_array(rows)
            image.SetSpacing([0.5, 0.5])
            itk.imwrite(image, str(name))
        else:
            Image.fromarray(rows).save(name)
    return folder


def write_overlay(file: Path, source: Path, checkpoint: Path) -> Path:
    """An overlay for both configurations: a training of a few pixels, of a network that is told beside its weights."""
    training = {name: value for name, value in TINY.items() if name not in MODEL}
    values = {
        **training,
        "min_size": 0,
        "image_pixel_size": 20.0,
        "source_dir": str(source),
        "checkpoint": str(checkpoint),
    }
    file.write_text(json.dumps(values))
    return file


def fit_to_clicks(network: torch.nn.Module, steps: int = 150) -> None:
    """Teach a network that there is a disc at a foreground click, none at a background click, else dark discs."""
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(steps):
        x, target = _examples(6, 32)
        pred = network(x)
        loss = F.binary_cross_entropy_with_logits(pred[:, :1], target) + 0.1 * F.mse_loss(pred[:, 1:], target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _examples(count: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images with clicks (B,3,X,Y) and their masks (B,1,X,Y)."""
    images, masks = [], []
    for _ in range(count):
        dark, foreground, background = torch.randint(RADIUS, size - RADIUS, (3, 2))
        if torch.rand(1) < 0.5:
            background = dark + torch.randint(-3, 4, (2,))
        clicked, wrong = (torch.rand(2) < 0.6).tolist()
        mask = _disc(dark, size, RADIUS)
        em = torch.randn(size, size) * 0.4 + 1 - 2 * mask.float()
        clicks = torch.zeros(2, size, size)
        if wrong:
            clicks[1, background[0], background[1]] = 1
            mask = mask & ~_disc(background, size, RADIUS + 3)
        if clicked:
            clicks[0, foreground[0], foreground[1]] = 1
            mask = mask | _disc(foreground, size, RADIUS)
        images.append(torch.cat((em[None], clicks)))
        masks.append(mask[None].float())
    return torch.stack(images), torch.stack(masks)


def _disc(centre: torch.Tensor, size: int, radius: int) -> torch.Tensor:
    x, y = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return (x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius**2
