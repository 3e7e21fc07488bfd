"""Masks for MONAI Label's viewers."""

from __future__ import annotations

import os
import reprlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.inferers import Inferer
from monailabel.interfaces.tasks.infer_v2 import InferType
from monailabel.tasks.infer.basic_infer import BasicInferTask
from monailabel.transform.post import FindContoursd
from monailabel.transform.writer import PolygonWriter

from bundle import keys as K
from bundle.data.image_files import SUFFIXES, stem
from bundle.data.result_files import result_path
from bundle.errors import SettingError
from bundle.handlers.weights import check_weights
from bundle.transforms.outputs import write_like
from lib.devices import devices


class SectionInferTask(BasicInferTask):
    """Segment one section, with the clicks of the request if it has any, as ``configs/inference.json`` says.

    Args:
        config: the merged configuration.
        weights: files of weights; of those that exist the last is used, and read again when it changes.
        type: how viewers show the task; with ``DEEPGROW`` they let a person click.
        labels: number of each class by its name.
    """

    def __init__(self, config: ConfigParser, weights: Sequence[Path], type: InferType, labels: dict[str, int]) -> None:
        super().__init__(
            path=[str(path) for path in weights],
            network=config.get_parsed_content("network_def"),
            type=type,
            labels=labels,
            dimension=2,
            description="mitochondria in 2D electron microscopy, with or without clicks",
        )
        self.parser = config
        self._config["device"] = devices()
        self._checked: tuple[str, int] | None = None

    def _get_network(self, device: str, data: Any) -> Any:
        """The network with the present weights, which MONAI Label itself would load whatever their settings are."""
        path = Path(self.get_path())
        stamp = (str(path), path.stat().st_mtime_ns)
        if stamp != self._checked:
            check_weights(path, self.parser.get_parsed_content("model_settings"))
            self._checked = stamp
        return super()._get_network(device, data)

    def pre_transforms(self, data: Any = None) -> Sequence[Callable[..., Any]]:
        """Those of the configuration; clicks stand in the request under their names there."""
        return self.parser.get_parsed_content("preprocessing").transforms

    def inferer(self, data: Any = None) -> Inferer:
        """That of the configuration."""
        return self.parser.get_parsed_content("inferer")

    def post_transforms(self, data: Any = None) -> Sequence[Callable[..., Any]]:
        """Those of the configuration, and outlines for QuPath, whose requests name an ``output``."""
        transforms = list(self.parser.get_parsed_content("postprocessing").transforms)
        if data and data.get("output"):
            transforms += [keep_region, FindContoursd(keys=K.PRED, labels=self.labels)]
        return transforms

    def writer(self, data: dict[str, Any], extension: Any = None, dtype: Any = None) -> tuple[Any, Any]:
        """Write outlines, or the mask (0 and 1) with the image's geometry, which MONAI Label's writer would drop."""
        if data.get("output"):
            return PolygonWriter(label=self.output_label_key, json=self.output_json_key)(data)
        image = data["image_path"]
        # the server deletes the file when it was sent
        handle, path = tempfile.mkstemp(suffix=result_suffix(image, data.get("result_extension")))
        os.close(handle)
        write_like(path, data[self.output_label_key].cpu().numpy(), image)
        return path, data.get(self.output_json_key, {})


def result_suffix(image: str, asked: Any) -> str:
    """The suffix of the file of a mask.

    Args:
        image: path of its image.
        asked: ``result_extension`` of a request; None or empty for that of the image.

    Raises:
        SettingError: it is none that a mask of this image can be written as.
    """
    suffix = asked or result_path(image, "mask", "").name.removeprefix(f"{stem(image)}_mask")
    if suffix not in SUFFIXES or (suffix.startswith(".nii") and not stem(image) + suffix == Path(image).name):
        raise SettingError(
            f"result_extension is {reprlib.repr(suffix)}, expected .nrrd, .png, .tif or that of the image"
        )
    return str(suffix)


def keep_region(data: dict[str, Any]) -> dict[str, Any]:
    """Empty the mask (X,Y) outside of ``region``, (x, y, width, height) in pixels; without area it means all."""
    x, y, width, height = data.get("region", (0, 0, 0, 0))
    if width and height:
        inside = data[K.PRED].new_zeros(data[K.PRED].shape)
        inside[max(x, 0) : max(x + width, 0), max(y, 0) : max(y + height, 0)] = 1
        data[K.PRED] = data[K.PRED] * inside
    return data
