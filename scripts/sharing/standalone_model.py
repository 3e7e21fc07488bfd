"""A checkpoint and its configuration as a model that stands alone: a scripted module, and numbers about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose
from numpy.typing import NDArray

from bundle import keys as K
from bundle.config_text import config_text
from bundle.errors import DataError
from bundle.handlers.model_overlay import overlays_of
from bundle.handlers.weights import load_weights
from bundle.inferers import PromptedSlidingWindowInferer
from bundle.networks import PromptableSegmenter
from bundle.networks.standalone import AutomaticSegmenter, InteractiveSegmenter
from bundle.preflight import check_crop_size

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class StandaloneModel:
    """What a package is made of.

    Args:
        network: with its weights, on the CPU.
        inferer: slides it over images, in this bundle.
        segmenter: does the same without this bundle, for images that are clipped to ``percentiles``.
        normalize: what the network expects of an image.
        percentiles: of it, in percent.
        postprocessing: of what the inferer gives, to mask and density.
        pixel_size: of the images that it is made for, in nanometres; None for unknown.
    """

    network: PromptableSegmenter
    inferer: PromptedSlidingWindowInferer
    segmenter: InteractiveSegmenter
    normalize: Compose
    percentiles: tuple[float, float]
    postprocessing: Compose
    pixel_size: float | None

    @property
    def window(self) -> tuple[int, int]:
        """Of the sliding window, (x, y) in pixels."""
        return self.segmenter.width, self.segmenter.height

    @property
    def threshold(self) -> float:
        """Probability above which a pixel is foreground."""
        return self.segmenter.threshold

    def script(self, interactive: bool) -> torch.jit.ScriptModule:
        """TorchScript with clicks and density, or of image and mask alone."""
        module = self.segmenter if interactive else AutomaticSegmenter(self.segmenter)
        return torch.jit.script(module.eval())

    def segment(
        self, image: NDArray[Any], clicks: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Segment an image as inference does.

        Args:
            image: (Y,X), of any type.
            clicks: (2,Y,X) of 0 and 1, or None.

        Returns:
            Mask (Y,X) bool, and density (Y,X) float32 in [0,1].
        """
        section = torch.from_numpy(image.T.astype(np.float32))[None]
        normalized = torch.as_tensor(self.normalize({K.IMAGE: section})[K.IMAGE])
        drawn = torch.zeros(2, *section.shape[1:]) if clicks is None else torch.from_numpy(clicks).mT
        with torch.no_grad():
            out = self.inferer(torch.cat((normalized, drawn))[None], self.network)[0]
        item = self.postprocessing({K.PRED: out})
        return item[K.PRED].mT.bool().numpy(), item[K.DENSITY][0].mT.numpy()


def load_model(checkpoint: Path, overlays: Sequence[Path] = (), pixel_size: float | None = None) -> StandaloneModel:
    """Read a checkpoint as ``configs/inference.json`` and overlays describe it; that beside the checkpoint is added.

    Args:
        checkpoint: file of weights.
        overlays: configurations behind ``configs/inference.json``.
        pixel_size: of the images that it is made for, in nanometres; None for what the overlays say.

    Raises:
        DataError: a file is missing, or the weights cannot be read or are of another network.
        ValueError: a setting is wrong, contradicts the overlay beside the checkpoint, or cannot be exported.
    """
    if not checkpoint.is_file():
        raise DataError(f"{checkpoint}: no such checkpoint; train one first, or name another")
    config = ConfigParser()
    files = [ROOT / "configs" / "inference.json", *overlays, *overlays_of(checkpoint)]
    config.read_config([str(file) for file in files])
    config["bundle_root"] = config_text(ROOT)
    if pixel_size is not None:
        config["pixel_size"] = pixel_size
    percentiles = percentiles_of(config["normalize"])
    network = config.get_parsed_content("network_def")
    load_weights(network, checkpoint, config.get_parsed_content("model_settings"))
    window = config.get_parsed_content("crop_size")
    check_crop_size(window, network.stride)
    names = ("overlap", "rotations", "threshold", "min_size", "connectivity")
    settings = {name: config.get_parsed_content(name) for name in names}
    return StandaloneModel(
        network=network.eval(),
        inferer=config.get_parsed_content("inferer"),
        segmenter=InteractiveSegmenter(network, window, **settings),
        normalize=Compose(config.get_parsed_content("normalize")),
        percentiles=percentiles,
        postprocessing=config.get_parsed_content("postprocessing"),
        pixel_size=config.get_parsed_content("pixel_size"),
    )


def percentiles_of(normalize: Any) -> tuple[float, float]:
    """Read a normalisation that BioImage.IO has words for: percentiles to 0 and 1, clipped, then mean 0 and variance 1.

    Args:
        normalize: as a configuration has it.

    Returns:
        Lower and upper percentile.

    Raises:
        DataError: it is another one.
    """
    match normalize:
        case [
            {"_target_": "ScaleIntensityRangePercentilesd", "lower": lower, "upper": upper, **scale},
            {"_target_": "NormalizeIntensityd", **rest},
        ] if _without_keys(scale) == {"b_min": 0, "b_max": 1, "clip": True} and not _without_keys(rest):
            return float(lower), float(upper)
    raise DataError(
        f"normalize is {normalize}, which cannot be written as preprocessing of BioImage.IO; expected "
        "ScaleIntensityRangePercentilesd to 0 and 1 with clip, and NormalizeIntensityd"
    )


def _without_keys(arguments: Mapping[Any, Any]) -> dict[Any, Any]:
    return {name: value for name, value in arguments.items() if name != "keys"}
