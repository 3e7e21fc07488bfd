"""Stage 1 on what was given in MONAI Label."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import monai.bundle
import torch
from monai.bundle import ConfigParser
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.train import TrainTask

from bundle.config_text import config_text
from bundle.data.annotated_items import annotated_items
from bundle.data.image_files import read_header
from bundle.data.pixel_size import TOLERANCE, domain_pixel_size, image_pixel_size
from bundle.data.points import Clicks
from bundle.errors import DataError, SettingError
from lib.devices import chosen_device, devices

MOST_EPOCHS = 10_000


class Asked(NamedTuple):
    """What a request says of a training.

    Attributes:
        device: a name of :func:`lib.devices.devices`.
        max_epochs: 1 to ``MOST_EPOCHS``.
        pretrained: start from the weights that are served, rather than from those that the server was started with.
    """

    device: str
    max_epochs: int
    pretrained: bool


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
        image_pixel_size: nanometres per pixel of images that do not tell; None for that of the source.
    """

    def __init__(
        self,
        root: Path,
        files: Sequence[str],
        weights: Sequence[Path],
        trained: Path,
        clicks: Callable[[], dict[str, Clicks]],
        image_pixel_size: float | None = None,
    ) -> None:
        super().__init__("adapts the network to the studies, from final labels and clicks")
        self.root = root
        self.files = list(files)
        self.weights = list(weights)
        self.trained = trained
        self.clicks = clicks
        self.image_pixel_size = image_pixel_size
        self.parser = ConfigParser()
        self.parser.read_config(self.files)
        self.parser["bundle_root"] = config_text(root)
        self.parser["resolved_pixel_size#folders"] = ["@source_dir"]  # the studies have no datalist

    def config(self) -> dict[str, Any]:
        """What a request may say; viewers show it."""
        return {"device": devices(), "max_epochs": self.parser.get_parsed_content("max_epochs"), "pretrained": True}

    def asked(self, request: dict[str, Any]) -> Asked:
        """Read a request; the rest of it is not looked at.

        Raises:
            SettingError: a value is of another type, or out of range.
        """
        given = {**self.config(), **request}
        device, epochs, pretrained = chosen_device(given["device"]), given["max_epochs"], given["pretrained"]
        if type(epochs) is not int or not 1 <= epochs <= MOST_EPOCHS:  # True is an int, too
            raise SettingError(f"max_epochs is {reprlib.repr(epochs)}, expected a whole number from 1 to {MOST_EPOCHS}")
        if not isinstance(pretrained, bool):
            raise SettingError(f"pretrained is {reprlib.repr(pretrained)}, expected true or false")
        return Asked(device, epochs, pretrained)

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Train.

        Whatever a request or a name of a file says goes to the bundle as an object that its parser leaves alone: it
        runs texts that begin with ``$`` and rewrites others that hold ``@#`` or ``::``, in lists and dicts as well,
        but looks into no tuple and no path.

        Raises:
            SettingError: the request is wrong.
            DataError: there is neither a label nor a click, one of them cannot be used, or an image has another pixel
                size than the source.
        """
        asked = self.asked(request)
        images = sorted(filter(None, (datastore.get_image_uri(image) for image in datastore.list_images())))
        labels = {entry["image"]: entry["label"] for entry in datastore.datalist()}
        clicks = self.clicks()
        if not labels and not clicks:
            raise DataError("the studies have neither a final label nor a click; give some before training")
        self._check_pixel_sizes(images)
        window, max_points = max(self.parser.get_parsed_content("crop_size")), self.parser["max_points"]
        targets, labelled = annotated_items(images, labels, clicks, window, max_points)
        source = self.parser.get_parsed_content("source#data")
        repeats = math.ceil(len(source) / len(labelled)) if labelled else 0
        found = [path for path in self.weights if path.is_file()]
        overrides = {
            "bundle_root": config_text(self.root),
            "device": torch.device(asked.device),
            "max_epochs": asked.max_epochs,
            "init_checkpoint": found[-1] if asked.pretrained else found[0],
            "checkpoint": self.trained,
            "work_dir": self.trained.parent,
            "resolved_pixel_size#folders": self.parser["resolved_pixel_size#folders"],
            "train#dataset#data": tuple(targets),
            "provenance#folders#target": Path(images[0]).parent,
            "source#data": (*source, *labelled * repeats),
            "source#dataset#hash_as_key": True,  # repeated items are cached once
        }
        # False leaves the server's logging as it is
        monai.bundle.run("training", config_file=self.files, logging_file=False, **overrides)  # type: ignore[arg-type]
        return {"images": len(targets), "labels": len(labelled), "clicked": len(clicks)}

    def _check_pixel_sizes(self, images: Sequence[str]) -> None:
        """Masks are made at any pixel size, but a training works at one."""
        given = self.parser.get_parsed_content("pixel_size")
        size = domain_pixel_size([self.parser.get_parsed_content("source_dir")], given, required=False)
        for image in images:
            own = image_pixel_size({image: read_header(image).pixel_size}, self.image_pixel_size)
            if own is not None and size is not None and not math.isclose(own, size, rel_tol=TOLERANCE):
                raise DataError(
                    f"{image}: has pixels of {own:g} nm, but a training here has those of the source, {size:g} nm; "
                    "resample the studies with python -m scripts.prepare_data"
                )
