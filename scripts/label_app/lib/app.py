"""The MONAI Label app: automatic and prompted segmentation, adaptation, and the next image to annotate."""

from __future__ import annotations

import json
import math
import reprlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from monai.bundle import ConfigParser
from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask

from bundle.atomic import make_folder
from bundle.config_text import config_text
from bundle.data.image_files import SUFFIXES, read_header, write_png
from bundle.data.pixel_size import check_nanometres
from bundle.data.points import Clicks, check_inside
from bundle.errors import DataError, MendableError
from bundle.handlers.model_overlay import overlays_of
from bundle.handlers.shipped_weights import first_weights
from bundle.handlers.weights import load_weights
from bundle.preferences.store.click_records import ClicksChangedError
from bundle.preferences.store.judgement_store import JudgementStore
from bundle.preferences.store.records import new_uid
from bundle.preferences.store.saved_clicks import SavedClicks, as_pixels
from lib import ROOT
from lib.adaptation import AdaptationTask
from lib.devices import chosen_device
from lib.disagreement import Disagreement, DisagreementScoring, MostDisagreement
from lib.outlines import mask_of_outlines
from lib.sections import SectionInferTask, result_suffix
from lib.studies import Studies

CLICKS = ("foreground", "background")
REGION = ("output", "region", "location", "size", "min_poly_area")
"""Of a request of QuPath: where outlines are wanted, and in which form."""
FARTHEST = 1 << 31
ASKING = ("prefer.json", "candidates.json")
"""Overlays on ``train.json`` that say how candidates are made."""
ANNOTATOR = "person:monai-label"
"""Who clicked; viewers do not say."""
PATIENCE = 5.0
"""Seconds for which a request waits while another program holds the store."""
POINTS_FILE = "points.json"
STORE = "clicks.sqlite"
WORK = "prefer_das"
"""In the studies folder: the store of clicks, which are exported beside the images, and what was learnt from them."""


class PreferDasApp(MONAILabelApp):
    """Automatic and prompted segmentation, adaptation, and a choice of the next image.

    Args:
        app_dir: folder of this file.
        studies: folder of images; clicks, labels and weights trained here are kept in it.
        conf: ``config``, overlays on the configurations, separated by commas; ``checkpoint``, weights to start with
            (default: those that an overlay names, else see :func:`bundle.handlers.shipped_weights.first_weights`),
            whose overlay is added behind the others; ``image_pixel_size``, nanometres per pixel of images that do not
            tell.

    Raises:
        DataError: the studies are no folder, there is no checkpoint, it is of another network or other settings than
            the configuration describes, or nobody tells the pixel size.
        SettingError: ``image_pixel_size`` is no number above 0.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        if "://" in studies:
            raise DataError(f"studies is {studies}, expected a folder of images")
        overlays = [str(ROOT / name) for name in (conf or {}).get("config", "").split(",") if name]
        work = Path(studies) / WORK
        self.trained = work / "adapted.pt"
        inference = str(ROOT / "configs" / "inference.json")
        start = start_of(conf or {}, [inference, *overlays])
        self.weights = [start, self.trained]
        latest = [path for path in self.weights if path.is_file()][-1]
        overlays += map(str, overlays_of(latest) or overlays_of(start))
        self.train_files = [str(ROOT / "configs" / "train.json"), *overlays]
        self.parser = ConfigParser()
        self.parser.read_config([inference, *overlays])
        asking = ConfigParser()
        asking.read_config([*self.train_files, *(str(ROOT / "configs" / name) for name in ASKING)])
        for parser in (self.parser, asking):
            parser["bundle_root"] = config_text(ROOT)
        given = read_pixel_size(conf or {})
        if given is not None:
            self.parser["image_pixel_size"] = given
        asking["resolved_pixel_size"] |= {"folders": ["@source_dir"], "required": False}  # studies have no datalist
        if asking.get_parsed_content("resolved_pixel_size") is None:
            source = asking.get_parsed_content("source_dir")
            raise DataError(f"{source}: tells no pixel size; give pixel_size, in nanometres, in an overlay (--config)")
        settings = self.parser.get_parsed_content("model_settings")
        load_weights(self.parser.get_parsed_content("network_def"), latest, settings)
        self.disagreement = Disagreement(asking, self.weights, work / "candidates")
        metadata = json.loads((ROOT / "configs" / "metadata.json").read_text())
        classes = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
        self.classes = {name: int(number) for number, name in classes.items() if name != "background"}
        super().__init__(
            app_dir, studies, conf, metadata["name"], description=metadata["description"], version=metadata["version"]
        )

    def init_datastore(self) -> Datastore:
        """The studies folder, with all formats that the bundle reads."""
        return Studies(
            self.studies,
            extensions=[f"*{suffix}" for suffix in SUFFIXES],
            auto_reload=settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD,
            read_only=settings.MONAI_LABEL_DATASTORE_READ_ONLY,
        )

    def init_infers(self) -> dict[str, InferTask]:
        """One task under two names: viewers offer clicks for the second."""
        types = {"automatic": InferType.SEGMENTATION, "interactive": InferType.DEEPGROW}
        return {name: SectionInferTask(self.parser, self.weights, type, self.classes) for name, type in types.items()}

    def init_trainers(self) -> dict[str, TrainTask]:
        """Stage 1."""
        given = self.parser.get_parsed_content("image_pixel_size")
        return {"adapt": AdaptationTask(ROOT, self.train_files, self.weights, self.trained, self.saved_clicks, given)}

    def init_strategies(self) -> dict[str, Strategy]:
        """Ours first, for viewers take the first."""
        return {"disagreement": MostDisagreement(self.disagreement), **super().init_strategies()}

    def init_scoring_methods(self) -> dict[str, ScoringMethod]:
        """What the strategy goes by."""
        return {"disagreement": DisagreementScoring(self.disagreement)}

    def infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Segment an image, and keep the clicks of the request for training, in place of earlier ones.

        Of the request only what is named here reaches MONAI Label, which would also read other files, write labels or
        set its log's level as asked.

        Raises:
            HTTPException: 404 for an unknown image or model, 400 for another value that cannot be used.
        """
        image, model = request.get("image"), request.get("model")
        path = str((datastore or self.datastore()).get_image_uri(image)) if isinstance(image, str) else ""
        if not path or not Path(path).is_file():
            raise HTTPException(404, f"{reprlib.repr(image)}: no such image in the studies")
        if not isinstance(model, str) or model not in self._infers:
            raise HTTPException(404, f"{reprlib.repr(model)}: no such model, expected {' or '.join(self._infers)}")
        try:
            clicks = read_clicks(request)
            check_inside("request", Path(path).name, clicks.points, read_header(path).size)
            kept = {name: request[name] for name in (*CLICKS, *REGION) if name in request}
            kept["device"] = chosen_device(request.get("device"))
            kept["result_extension"] = result_suffix(path, request.get("result_extension"))
            result = super().infer({**kept, "model": model, "image": path}, datastore)
            if clicks.points:
                self.save_clicks(path, clicks)
        except MendableError as error:
            raise HTTPException(400, str(error)) from None
        return result

    def infer_wsi(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """QuPath's way in. The section is segmented as a whole, and outlines of the asked region are given back."""
        region = [*request.get("location", (0, 0)), *request.get("size", (0, 0))]
        if len(region) != 4 or not all(type(number) is int for number in region):
            raise HTTPException(
                400, f"location and size are {reprlib.repr(region)}, expected [x, y] and [width, height]"
            )
        return self.infer({**request, "region": region, "location": [0, 0], "size": [0, 0]}, datastore)

    def check_training(self, model: str, request: dict[str, Any]) -> None:
        """Refuse a wrong request before a process is started for it.

        Raises:
            SettingError: a value is of another type, or out of range.
        """
        self._trainers[model].asked(request)

    def async_scoring(self, method: str | None, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Score; in the process of a training at once, where MONAI Label would ask the server, which needs a token."""
        if self._server_mode:
            return dict(super().async_scoring(method, params) or {})
        return {name: self.scoring({"method": name}) for name in self._scoring_methods}

    def on_save_label(self, image_id: str, label_id: str) -> None:
        """Turn the outlines that QuPath saves into a mask, which training and other viewers read.

        Raises:
            HTTPException: 400 for a file without readable outlines.
        """
        outlines = Path(self.datastore().get_label_uri(label_id, DefaultLabelTag.FINAL))
        if outlines.suffix != ".xml":
            return
        try:
            size = read_header(self.datastore().get_image_uri(image_id)).size
            mask = mask_of_outlines(outlines, size, {name.lower() for name in self.classes})
            with tempfile.TemporaryDirectory() as folder:
                write_png(Path(folder) / "label.png", mask)
                self.datastore().save_label(image_id, str(Path(folder) / "label.png"), DefaultLabelTag.FINAL, {})
        except MendableError as error:
            outlines.unlink()
            self.datastore().refresh()  # it forgets the label
            raise HTTPException(400, str(error)) from None
        outlines.unlink()

    def saved_clicks(self) -> dict[str, Clicks]:
        """Clicks of each image that has any, by its path."""
        paths = self._image_paths()
        with self._clicks(list(paths)) as saved:
            saved.synchronise()
            return {paths[name]: clicks for name, clicks in saved.of_all().items()}

    def save_clicks(self, image: str, clicks: Clicks) -> None:
        """Replace the saved clicks of an image (path), whoever made them."""
        given, name = as_pixels(clicks.points, clicks.labels), Path(image).name
        with self._clicks(list(self._image_paths())) as saved:
            saved.synchronise()
            while True:
                try:
                    saved.save(name, given, saved.of(name).version, ANNOTATOR, new_uid())
                    return
                except ClicksChangedError:
                    continue

    def _image_paths(self) -> dict[str, str]:
        """Paths of the images by file name, which is how a points file calls them."""
        paths = [str(self.datastore().get_image_uri(image)) for image in self.datastore().list_images()]
        return {Path(path).name: path for path in paths}

    @contextmanager
    def _clicks(self, names: list[str]) -> Iterator[SavedClicks]:
        """The clicks on images of these names: in a store, and in ``points.json``, its export."""
        file = Path(self.studies) / WORK / STORE
        make_folder(file.parent)
        with JudgementStore(file, wait=PATIENCE) as store:
            yield SavedClicks(store, Path(self.studies) / POINTS_FILE, Path(self.studies), names)


def start_of(conf: dict[str, str], files: list[str]) -> Path:
    """The weights that the server starts with: those of ``conf``, or that an overlay names, or the first weights.

    Args:
        conf: of MONAI Label's command line.
        files: ``inference.json``, and the overlays behind it.

    Raises:
        DataError: they are not there.
    """
    config = ConfigParser()
    config.read_config(files)
    config["bundle_root"] = config_text(ROOT)
    if not any("checkpoint" in ConfigParser.load_config_file(overlay) for overlay in files[1:]):
        config["checkpoint"] = config_text(first_weights())
    start = Path(conf.get("checkpoint") or config.get_parsed_content("checkpoint"))
    if not start.is_file():
        raise DataError(f"{start}: no such checkpoint; train one first, or name another with --conf checkpoint")
    return start


def read_pixel_size(conf: dict[str, str]) -> float | None:
    """The pixel size of images that do not tell, in nanometres: ``image_pixel_size`` of ``conf``.

    Raises:
        SettingError: it is no number above 0.
    """
    given = conf.get("image_pixel_size") or None
    try:
        value = None if given is None else float(given)
    except ValueError:
        value = math.nan
    check_nanometres("image_pixel_size", value)
    return value


def read_clicks(request: dict[str, Any]) -> Clicks:
    """The clicks of a request: lists ``foreground`` and ``background`` of [x, y] or, as Slicer has it, [x, y, 0].

    Raises:
        DataError: a click is something else.
    """
    found = Clicks([], [])
    for name, label in zip(CLICKS, (1, 0), strict=True):
        given = [] if request.get(name) is None else request[name]
        if not isinstance(given, list):
            raise DataError(f"{name} is {reprlib.repr(given)}, expected a list of clicks [x, y] in pixels")
        for point in given:
            numbers = point[:2] if isinstance(point, list) else []
            if len(numbers) < 2 or not all(type(n) in (int, float) and abs(n) < FARTHEST for n in numbers):
                raise DataError(f"{name} click {reprlib.repr(point)}; expected [x, y] in pixels")
            found.points.append([math.floor(number) for number in numbers])
            found.labels.append(label)
    return found
