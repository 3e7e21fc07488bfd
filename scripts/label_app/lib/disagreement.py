"""Which image to annotate next: the one whose candidate masks differ most."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.data import Dataset
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy

from bundle import keys as K
from bundle.data.image_files import stem
from bundle.handlers.weights import load_weights
from bundle.preferences.candidates.comparison import diversity
from bundle.preferences.candidates.files import file_sha256, read_candidates
from bundle.preferences.questions.questionnaire import Questionnaire


class Disagreement:
    """Mean Jaccard distance of the candidate masks of an image, in [0,1]; the candidates are kept on disk.

    Args:
        config: the merged configuration, ``train.json`` with ``prefer.json`` and ``candidates.json``.
        weights: files of weights, the last of those that exist is used.
        folder: of candidate files, with a folder for each state of the weights.
    """

    def __init__(self, config: ConfigParser, weights: Sequence[Path], folder: Path) -> None:
        self.parser = config
        self.weights = list(weights)
        self.folder = folder

    def known(self, images: Sequence[str]) -> dict[str, float]:
        """Of those images (paths) whose candidates were made with the present weights."""
        folder = self._folder(self._latest())
        files = {image: folder / f"{stem(image)}.npz" for image in images}
        return {image: _diversity(file) for image, file in files.items() if file.is_file()}

    def make(self, images: Sequence[str]) -> dict[str, float]:
        """Of all images (paths): candidates are made where there are none yet."""
        weights = self._latest()
        network = self.parser.get_parsed_content("network_def").to(self.parser.get_parsed_content("device"))
        load_weights(network, weights, self.parser.get_parsed_content("model_settings"))
        items = [{K.IMAGE: image} for image in images]
        dataset = Dataset(items, self.parser.get_parsed_content("questionnaire#dataset#transform"))
        maker = self.parser.get_parsed_content("questionnaire#maker")
        Questionnaire(dataset, maker, self._folder(weights), region_split="image").make_candidates(network)
        return self.known(images)

    def _latest(self) -> Path:
        return [path for path in self.weights if path.is_file()][-1]

    def _folder(self, weights: Path) -> Path:
        return self.folder / file_sha256(weights)[:16]


class DisagreementScoring(ScoringMethod):
    """Makes the candidates of images without final label; the server runs it at its start and after a training."""

    def __init__(self, disagreement: Disagreement) -> None:
        super().__init__("mean Jaccard distance of an image's candidate masks, in [0, 1]")
        self.disagreement = disagreement

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, float]:
        """Scores by id of the image."""
        paths = {datastore.get_image_uri(image): image for image in datastore.get_unlabeled_images()}
        return {paths[path]: score for path, score in self.disagreement.make(list(paths)).items()}


class MostDisagreement(Strategy):
    """Serves the image without final label whose candidates differ most.

    It does not wait for scores: an image without one comes after those that have one.
    """

    def __init__(self, disagreement: Disagreement) -> None:
        super().__init__("the image on which candidate masks differ most")
        self.disagreement = disagreement

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        """Id of the image and its score, None without one; or None if all images have labels."""
        paths = {image: datastore.get_image_uri(image) for image in sorted(datastore.get_unlabeled_images())}
        if not paths:
            return None
        scores = self.disagreement.known(list(paths.values()))
        image = max(paths, key=lambda image: scores.get(paths[image], -1.0))
        return {"id": image, "disagreement": scores.get(paths[image])}


@cache
def _diversity(file: Path) -> float:
    return diversity(read_candidates(file).masks)
