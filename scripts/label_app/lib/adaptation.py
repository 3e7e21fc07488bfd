"""Stage 1 on what was given in MONAI Label."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import monai.bundle
from monai.bundle import ConfigParser
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.train import TrainTask
from monailabel.utils.others.generic import device_list, name_to_device

from bundle.data.annotated import annotated_items
from bundle.data.points import Clicks
from bundle.errors import DataError


class AdaptationTask(TrainTask):
    """Adapt the network to the studies with ``configs/train.json``, from final labels and saved clicks.

    All images of the studies are the target. Images with a final label are learnt from like source images too, and
    drawn as often as all of those together.

    Args:
        root: of the bundle.
        files: configuration files, ``train.json`` first.
        weights: files of weights, the last of those that exist is where training starts.
        trained: where the result goes.
        clicks: reads the saved clicks, by path of the image.
    """

    def __init__(
        self,
        root: Path,
        files: Sequence[str],
        weights: Sequence[Path],
        trained: Path,
        clicks: Callable[[], dict[str, Clicks]],
    ) -> None:
        super().__init__("adapts the network to the studies, from final labels and clicks")
        self.root = root
        self.files = list(files)
        self.weights = list(weights)
        self.trained = trained
        self.clicks = clicks
        self.parser = ConfigParser()
        self.parser.read_config(self.files)
        self.parser["bundle_root"] = str(root)

    def config(self) -> dict[str, Any]:
        """What a request may say; viewers show it."""
        return {"device": device_list(), "max_epochs": self.parser.get_parsed_content("max_epochs"), "pretrained": True}

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Train. ``pretrained`` false starts from the weights that the server was started with.

        Raises:
            DataError: there is neither a label nor a click, or one of them cannot be used.
        """
        images = sorted(datastore.get_image_uri(image) for image in datastore.list_images())
        labels = {entry["image"]: entry["label"] for entry in datastore.datalist()}
        clicks = self.clicks()
        if not labels and not clicks:
            raise DataError("the studies have neither a final label nor a click; give some before training")
        window, max_points = max(self.parser.get_parsed_content("crop_size")), self.parser["max_points"]
        targets, labelled = annotated_items(images, labels, clicks, window, max_points)
        source = self.parser.get_parsed_content("source#data")
        repeats = math.ceil(len(source) / len(labelled)) if labelled else 0
        found = [path for path in self.weights if path.is_file()]
        device = name_to_device(request.get("device", "cuda"))
        overrides = {
            "bundle_root": str(self.root),
            "device": f"$torch.device('{device}')",
            "max_epochs": int(request.get("max_epochs", self.config()["max_epochs"])),
            "init_checkpoint": str(found[-1] if request.get("pretrained", True) else found[0]),
            "checkpoint": str(self.trained),
            "work_dir": str(self.trained.parent),
            "train#dataset#data": targets,
            "source#data": source + labelled * repeats,
            "source#dataset#hash_as_key": True,  # repeated items are cached once
        }
        # False leaves the server's logging as it is
        monai.bundle.run("training", config_file=self.files, logging_file=False, **overrides)  # type: ignore[arg-type]
        return {"images": len(targets), "labels": len(labelled), "clicked": len(clicks)}
