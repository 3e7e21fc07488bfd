"""The annotation page on a folder of three small images, with questions to answer and a network to click with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from fastapi import FastAPI

from bundle.annotate.click_service import ClickService
from bundle.annotate.server import create_app
from bundle.annotate.training_lock import BusyError
from bundle.annotate.training_process import Method, Training
from bundle.annotate.vote_service import VoteService
from bundle.data.domain_folder import write_datalist
from bundle.data.image_files import read_image, stem, write_png
from bundle.data.points import Clicks, write_points
from bundle.inferers import PromptedSlidingWindowInferer
from bundle.preferences.candidates.files import CandidateSet, file_sha256, write_candidates
from bundle.preferences.questions.regions import region_box, split_regions
from bundle.preferences.store.judgement_store import Candidate, JudgementStore, Question
from scripts.fuzzing.tiny_network import tiny_network

SIZE = (32, 24)
REGIONS = "grid:16"
IMAGES = ("images/a.png", "images/b.png", "images/c.png")
MODEL = "0" * 64


def write_domain(folder: Path) -> Path:
    """Write a domain folder of three images with labels, of which one has clicks."""
    x, y = np.mgrid[: SIZE[0], : SIZE[1]]
    for number, name in enumerate(IMAGES):
        disc = (x - 10 - 4 * number) ** 2 + (y - 12) ** 2 < 36
        for path, pixels in ((folder / name, 180 - 90 * disc + (x * y) % 7), (folder / label_of(name), 255 * disc)):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_png(path, pixels.astype(np.uint8))
    training = [{"image": name, "label": label_of(name)} for name in IMAGES]
    write_datalist(folder, "tiny", 20.0, {"training": training, "test": training[:1]})
    write_points(folder / "points.json", {IMAGES[0]: Clicks([[10, 12], [1, 1]], [1, 0])}, complete=False)
    return folder


def label_of(image: str) -> str:
    """Where the mask of an image lies."""
    return image.replace("images/", "labels/")


def make_questions(domain: Path, candidates: Path) -> list[Question]:
    """Write three candidates for each image of a domain; returns the questions about their regions."""
    candidates.mkdir(parents=True)
    questions = []
    for name in IMAGES:
        dark = read_image(domain / name)[..., 0] < 120
        masks = np.stack([dark, np.roll(dark, 2, 0), np.roll(dark, -2, 1)])
        image, file = str(domain / name), candidates / f"{stem(name)}.npz"
        made = CandidateSet(
            image, file_sha256(image), masks, ["as it is", "right", "up"], np.full(SIZE, 0.5, np.float32), MODEL
        )
        write_candidates(file, made)
        listed = tuple(map(Candidate, made.made, made.sha256))
        regions = split_regions(REGIONS, masks)
        for index in np.unique(regions).tolist():
            box = region_box(regions == index)
            questions.append(
                Question(image, made.image_sha256, str(file), listed, REGIONS, index, box, MODEL, float(index))
            )
    return questions


class NoTraining(Training):
    """Says how a training is getting on, but starts none."""

    def start(self, method: Method) -> None:
        """Refuse."""
        raise BusyError("a training runs already; wait for its end, or stop it")


class TinyPage:
    """The page's application, its folder and its store.

    Args:
        folder: empty; takes the domain folder, the candidates and the store.
    """

    def __init__(self, folder: Path) -> None:
        self.domain = write_domain(folder / "domain")
        self.questions = make_questions(self.domain, folder / "candidates")
        self.store = JudgementStore(folder / "preferences.sqlite")
        self.store.open_questions(self.questions)
        network = tiny_network()
        inferer = PromptedSlidingWindowInferer([32, 32], max_points=6)
        self.click_service = ClickService(self.domain, "training", "points.json", self.store, load, network, inferer)
        numbers = {str(self.domain / name): number for number, name in enumerate(IMAGES)}
        vote_service = VoteService(self.store, numbers, folder / "candidates")
        settings = {"work_dir": folder, "checkpoint": folder / "model.pt"}
        training = NoTraining(folder, [], settings, self.domain / "points.json", self.store, self.click_service.offer)
        self.app: FastAPI = create_app(self.click_service, vote_service, training)

    def close(self) -> None:
        """Close the store."""
        self.store.close()


def load(path: str) -> torch.Tensor:
    """An image (1,X,Y), normalised."""
    pixels = torch.from_numpy(read_image(path).astype(np.float32))[..., 0]
    return ((pixels - pixels.mean()) / pixels.std())[None]
