"""Tables of an evaluation: scores for each image and mode, their means, and the health report."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import pandas as pd
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from monai.utils import ImageMetaKey

from bundle import keys
from bundle.atomic import make_folder, replacing
from bundle.data.image_files import read_image
from bundle.errors import SettingError
from bundle.handler_order import LOGGERS
from bundle.metrics.health import compare_shapes, describe_image, describe_instances
from bundle.metrics.instances import label_instances
from bundle.metrics.segmentation import SCORES, segmentation_scores

METRICS_FILE = "metrics.csv"
HEALTH_FILE = "health.csv"


class EvaluationTable:
    """Ignite handler that writes the tables of an evaluation and hands its means to the loggers.

    Needs an evaluator with ``decollate=True`` whose post-transforms leave a binary mask under ``keys.PRED``. Items may
    have a label and a mode; an image may come once for each mode. Written at the end of the epoch:

    - ``metrics.csv``: for each image ``image``, ``mode``, the scores ``dice``, ``iou``, ``aji``, ``pq``, ``empty``
      (1: neither truth nor prediction, which the scores count as 1) and ``instances``, ``instances_per_megapixel``,
      ``foreground_share`` of the prediction; then a row ``mean`` for each mode (of ``empty`` that is the
      share). Cells that need a label stay blank where there is none.
    - ``health.csv``: for each mode, the shapes of the predicted instances against those of the source domain, see
      :func:`bundle.metrics.health.compare_shapes`.

    The means appear as ``automatic_dice``, ``interactive_aji``, ... in ``engine.state.metrics``. MONAI's loggers read
    them at the end of the epoch too, and handlers run in the order of the list: **put this one before StatsHandler and
    MLFlowHandler**, and before :class:`TrackedRun`, which logs the files. Processes of a distributed evaluation pool
    their rows; the first writes.

    Args:
        output_dir: folder of the tables, made if it does not exist.
        connectivity: 4 or 8 neighbours make an instance.
        min_size: predicted components of this many pixels or fewer are dropped (15 in the evaluation of Prefer-DAS,
            arXiv 2602.19423).
        pixel_size: nanometres; adds areas in nm^2 to the health report. None: pixels only.
        source_labels: label files of the source domain, above 0 foreground, for the health report. None: it describes
            the predictions alone.
        source_pixel_size: nanometres; None: the same as ``pixel_size``.

    Raises:
        SettingError: if a source label does not exist.
    """

    ahead_of = (*LOGGERS, "TrackedRun")

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        connectivity: int = 8,
        min_size: int = 15,
        pixel_size: float | None = None,
        source_labels: Sequence[str] | None = None,
        source_pixel_size: float | None = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.connectivity = connectivity
        self.min_size = min_size
        self.pixel_size = pixel_size
        self.source_pixel_size = source_pixel_size if source_pixel_size is not None else pixel_size
        self.source_labels = list(source_labels or [])
        missing = [path for path in self.source_labels if not Path(path).is_file()]
        if missing:
            raise SettingError(
                f"{len(missing)} of {len(self.source_labels)} source_labels do not exist, the first is {missing[0]}; "
                "give label files of the source domain, or null for none."
            )
        self._rows: list[dict[str, Any]] = []
        self._shapes: list[pd.DataFrame] = []

    def attach(self, engine: Engine) -> None:
        """Follow an evaluator.

        Args:
            engine: a MONAI evaluator with ``decollate=True``.
        """
        make_folder(self.output_dir)
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._finish)

    def _start(self, _engine: Engine) -> None:
        self._rows, self._shapes = [], []

    def _collect(self, engine: Engine) -> None:
        batch, output = engine.state.batch, engine.state.output
        if not isinstance(batch, list) or not isinstance(output, list):
            raise TypeError(
                f"the output of the evaluator is a {type(output).__name__}, expected a list with an item for each "
                "image; set decollate=True in the evaluator."
            )
        for item, result in zip(batch, output, strict=True):
            # the evaluator puts image, label and prediction in its output; the rest (mode) stays in the batch
            self._add({**item, **{key: value for key, value in result.items() if value is not None}})

    def _add(self, item: Mapping[str, Any]) -> None:
        pred, truth = item[keys.PRED], item.get(keys.LABEL)
        image, mode = self._image_name(item), item.get(keys.MODE, "automatic")
        instances = label_instances(pred, self.min_size, self.connectivity)
        scores: dict[str, float] = dict.fromkeys((*SCORES, "empty"), float("nan"))
        if truth is not None:
            scores = segmentation_scores(pred, truth, self.min_size, self.connectivity)
            scores["empty"] = float(not instances.any() and not (truth > 0).any())
        self._rows.append({"image": image, "mode": mode, **scores, **describe_image(instances)})
        self._shapes.append(describe_instances(instances, image, self.pixel_size).assign(mode=mode))

    def _image_name(self, item: Mapping[str, Any]) -> str:
        """The item's file name, from where ``SaveImaged`` takes it; a running number if there is none, as there."""
        for key in (keys.PRED, keys.IMAGE):
            value = item.get(key)
            name = value.meta.get(ImageMetaKey.FILENAME_OR_OBJ) if isinstance(value, MetaTensor) else None
            if name:
                return str(name)
        return str(len(self._rows))

    def _finish(self, engine: Engine) -> None:
        rows = pd.DataFrame(_pool(self._rows))
        shapes = pd.concat(_pool(self._shapes), ignore_index=True)
        means = rows.drop(columns="image").groupby("mode", sort=False).mean()
        for mode, row in means.iterrows():
            engine.state.metrics.update({f"{mode}_{name}": float(row[name]) for name in SCORES if pd.notna(row[name])})
        if idist.get_rank() == 0:
            self._log_empty(engine, rows)
            means = means.reset_index().assign(image="mean")
            _write(pd.concat([rows, means], ignore_index=True), self.output_dir / METRICS_FILE)
            _write(self._health(rows, shapes), self.output_dir / HEALTH_FILE)

    def _log_empty(self, engine: Engine, rows: pd.DataFrame) -> None:
        for mode, group in rows[rows["empty"].notna()].groupby("mode", sort=False):
            engine.logger.info(
                f"{mode}: {int(group['empty'].sum())} of {len(group)} images have neither truth nor prediction "
                "and count as 1"
            )

    def _health(self, rows: pd.DataFrame, shapes: pd.DataFrame) -> pd.DataFrame:
        source_rows, source_shapes = self._source
        reports = []
        for mode, group in rows.groupby("mode", sort=False):
            reports += [
                compare_shapes(group, source_rows).assign(mode=mode),
                compare_shapes(shapes[shapes["mode"] == mode], source_shapes).assign(mode=mode),
            ]
        report = pd.concat(reports, ignore_index=True)
        return report[["mode", *report.columns.drop("mode")]]

    @cached_property
    def _source(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Images and shapes of the source's masks, read once. Small components are dropped as from the predictions."""
        maps = {
            path: label_instances(read_image(path)[None, ..., 0], self.min_size, self.connectivity)
            for path in self.source_labels
        }
        shapes = [describe_instances(instances, path, self.source_pixel_size) for path, instances in maps.items()]
        images = pd.DataFrame([describe_image(instances) for instances in maps.values()])
        return images, pd.concat(shapes, ignore_index=True) if shapes else pd.DataFrame()


def _pool(items: list[Any]) -> list[Any]:
    """Gather the items of all processes."""
    parts: Any = idist.all_gather(items)
    return [item for part in parts for item in part]


def _write(frame: pd.DataFrame, path: Path) -> None:
    with replacing(path) as partial:
        frame.to_csv(partial, index=False)
