"""A MONAI Label app around the bundle.

.venv-label/bin/python -m monailabel.main start_server --app scripts/label_app --studies STUDIES --host 127.0.0.1
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from fastapi import HTTPException  # noqa: E402
from lib.adaptation import AdaptationTask  # noqa: E402
from lib.disagreement import Disagreement, DisagreementScoring, MostDisagreement  # noqa: E402
from lib.outlines import mask_of_outlines  # noqa: E402
from lib.sections import SectionInferTask  # noqa: E402
from monai.bundle import ConfigParser  # noqa: E402
from monailabel.config import settings  # noqa: E402
from monailabel.datastore.local import LocalDatastore  # noqa: E402
from monailabel.interfaces.app import MONAILabelApp  # noqa: E402
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag  # noqa: E402
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType  # noqa: E402
from monailabel.interfaces.tasks.scoring import ScoringMethod  # noqa: E402
from monailabel.interfaces.tasks.strategy import Strategy  # noqa: E402
from monailabel.interfaces.tasks.train import TrainTask  # noqa: E402

from bundle.data.image_files import SUFFIXES, read_header, write_png  # noqa: E402
from bundle.data.points import Clicks, check_inside  # noqa: E402
from bundle.errors import DataError  # noqa: E402
from bundle.handlers.weights import load_matching, read_state  # noqa: E402
from bundle.preferences.click_records import ClicksChangedError  # noqa: E402
from bundle.preferences.records import new_uid  # noqa: E402
from bundle.preferences.saved_clicks import SavedClicks, as_pixels  # noqa: E402
from bundle.preferences.store import JudgementStore  # noqa: E402

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
        conf: ``checkpoint``, weights to start with (default ``models/adapted.pt``); ``config``, overlays on the
            configurations, separated by commas.

    Raises:
        DataError: the studies are no folder, or there is no checkpoint.
        ValueError: the checkpoint is of another network than the configuration describes.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        if "://" in studies:
            raise DataError(f"studies is {studies}, expected a folder of images")
        overlays = [name for name in (conf or {}).get("config", "").split(",") if name]
        self.train_files = [str(ROOT / name) for name in ("configs/train.json", *overlays)]
        self.parser = ConfigParser()
        names = ("configs/inference.json", "configs/candidates.json", *overlays)
        self.parser.read_config([str(ROOT / name) for name in names])
        self.parser["bundle_root"] = str(ROOT)
        work = Path(studies) / WORK
        self.trained = work / "adapted.pt"
        start = Path((conf or {}).get("checkpoint") or self.parser.get_parsed_content("checkpoint"))
        if not start.is_file():
            raise DataError(f"{start}: no such checkpoint; train one first, or name another with --conf checkpoint")
        self.weights = [start, self.trained]
        latest = [path for path in self.weights if path.is_file()][-1]
        load_matching(self.parser.get_parsed_content("network_def"), read_state(latest), str(latest))
        self.disagreement = Disagreement(self.parser, self.weights, work / "candidates")
        metadata = json.loads((ROOT / "configs" / "metadata.json").read_text())
        classes = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
        self.classes = {name: int(number) for number, name in classes.items() if name != "background"}
        super().__init__(
            app_dir, studies, conf, metadata["name"], description=metadata["description"], version=metadata["version"]
        )

    def init_datastore(self) -> Datastore:
        """The studies folder, with all formats that the bundle reads."""
        return LocalDatastore(
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
        return {"adapt": AdaptationTask(ROOT, self.train_files, self.weights, self.trained, self.saved_clicks)}

    def init_strategies(self) -> dict[str, Strategy]:
        """Ours first, for viewers take the first."""
        return {"disagreement": MostDisagreement(self.disagreement), **super().init_strategies()}

    def init_scoring_methods(self) -> dict[str, ScoringMethod]:
        """What the strategy goes by."""
        return {"disagreement": DisagreementScoring(self.disagreement)}

    def infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Segment an image, and keep the clicks of the request for training, in place of earlier ones.

        Raises:
            HTTPException: 404 for an unknown image, 400 for clicks or an image that cannot be used.
        """
        known = datastore or self.datastore()
        path = str(known.get_image_uri(request["image"])) or request["image"]
        if not Path(path).is_file():
            raise HTTPException(404, f"{request['image']}: no such image in the studies")
        try:
            clicks = read_clicks(request)
            check_inside("request", Path(path).name, clicks.points, read_header(path).size)
            result = super().infer(request, datastore)
            if clicks.points and path != request["image"]:
                self.save_clicks(path, clicks)
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        return result

    def infer_wsi(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """QuPath's way in. The section is segmented as a whole, and outlines of the asked region are given back."""
        region = [*request.get("location", (0, 0)), *request.get("size", (0, 0))]
        return self.infer({**request, "region": region, "location": [0, 0], "size": [0, 0]}, datastore)

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
        except ValueError as error:
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
        file.parent.mkdir(exist_ok=True)
        with JudgementStore(file, wait=PATIENCE) as store:
            yield SavedClicks(store, Path(self.studies) / POINTS_FILE, Path(self.studies), names)


def read_clicks(request: dict[str, Any]) -> Clicks:
    """The clicks of a request: lists ``foreground`` and ``background`` of [x, y] or, as Slicer has it, [x, y, 0].

    Raises:
        DataError: a click is something else.
    """
    found = Clicks([], [])
    for name, label in (("foreground", 1), ("background", 0)):
        for point in request.get(name) or []:
            try:
                x, y = (math.floor(float(number)) for number in point[:2])
            except (TypeError, ValueError, OverflowError):
                raise DataError(f"{name} click {point!r}; expected [x, y] in pixels") from None
            found.points.append([x, y])
            found.labels.append(label)
    return found
