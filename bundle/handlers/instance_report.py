"""What an inference found, for people: a table of the instances, and pictures of their outlines."""

from __future__ import annotations

import io
import math
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ignite.engine import Engine, Events
from monai.utils import ImageMetaKey, convert_to_numpy

from bundle import keys
from bundle.atomic import make_folder, replacing
from bundle.data.image_files import read_image
from bundle.data.result_files import TABLE, picture_path, result_path
from bundle.errors import DataError
from bundle.handlers.instance_outlines import outlined
from bundle.metrics.measurements import COLUMNS, measure_instances

DIGITS = "%.6g"


class InstanceReport:
    """Ignite handler that writes ``mitochondria.csv`` and, for each image, ``<stem>_overlay.png``.

    The table has a row for each instance, see :func:`bundle.metrics.measure_instances`, of all images that have results
    in the folder: an image that is segmented again gets new rows, those of others stay.

    Put it before the handler that saves the masks: table and picture of an image are there before its masks are, so
    that an image that a resumed run passes over is in the table.

    Args:
        output_dir: folder of the results, made when absent.
        items: of :func:`bundle.data.inference_items`. Where one has no pixel size, lengths and areas stay blank.

    Raises:
        DataError: the folder holds a table of another kind.
        StorageError: the folder cannot be made, or, when called, a file not written.
    """

    ahead_of = ("PostProcessing",)

    def __init__(self, output_dir: str | os.PathLike[str], items: Sequence[Mapping[str, Any]]) -> None:
        self.output_dir = Path(output_dir)
        self.pixel_sizes = {item[keys.IMAGE]: float(item.get(keys.PIXEL_SIZE, math.nan)) for item in items}
        self.rows = read_rows(self.output_dir)
        self.images = 0
        self.area_um2 = 0.0
        self.areas: list[float] = []

    def attach(self, engine: Engine) -> None:
        """Register on an evaluator with ``decollate=True`` whose post-transforms leave the instances' numbers."""
        make_folder(self.output_dir)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.report)
        engine.add_event_handler(Events.COMPLETED, self.tell)

    def report(self, engine: Any) -> None:
        """On ITERATION_COMPLETED: measure and draw the images of the batch."""
        for item in engine.state.output:
            file = item[keys.PRED].meta[ImageMetaKey.FILENAME_OR_OBJ]
            self._report(str(file), convert_to_numpy(item[keys.INSTANCES])[0])
        self._write_table()

    def tell(self, engine: Engine) -> None:
        """On COMPLETED: log the summary."""
        engine.logger.info(self.summary())

    def summary(self) -> str:
        """Say what was found in the images of this run, in one line."""
        images = "image" if self.images == 1 else "images"
        instances = "mitochondrion" if len(self.areas) == 1 else "mitochondria"
        found = f"{self.images} {images}, {len(self.areas)} {instances}"
        if self.areas and not math.isnan(self.area_um2):
            share = sum(self.areas) / self.area_um2
            found += f", median area {statistics.median(self.areas):.3g} um2, {share:.1%} of the area"
        return found

    def _report(self, file: str, instances: np.ndarray) -> None:
        image = read_image(file)[..., 0]
        name = Path(file).name
        pixel_size = self.pixel_sizes[file]
        table = measure_instances(instances, image, pixel_size, name)
        self.rows[name] = _text(table)
        self.areas += table["area_um2"].tolist()
        self.images += 1
        self.area_um2 += image.size * (pixel_size / 1000) ** 2
        with replacing(picture_path(file, self.output_dir)) as partial:
            outlined(image, instances).save(partial, format="PNG")

    def _write_table(self) -> None:
        with replacing(self.output_dir / TABLE) as partial:
            partial.write_text(",".join(COLUMNS) + "\n" + "".join(self.rows.values()), encoding="utf-8")


def read_rows(output_dir: Path) -> dict[str, str]:
    """Read the table in a folder, as text for each image, without images that have no results there any more.

    Raises:
        DataError: it is another table.
    """
    path = output_dir / TABLE
    if not path.is_file():
        return {}
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: cannot be read as a table ({error}); move it away") from None
    if tuple(table.columns) != COLUMNS:
        raise DataError(
            f"{path}: has the columns {','.join(table.columns)}, expected {','.join(COLUMNS)}; move it away, or choose "
            "another output_dir"
        )
    return {
        str(image): _text(rows)
        for image, rows in table.groupby("image", sort=False)
        if result_path(str(image), "instances", output_dir).is_file()
    }


def _text(rows: pd.DataFrame) -> str:
    text = io.StringIO()
    rows.to_csv(text, index=False, header=False, float_format=DIGITS, lineterminator="\n")
    return text.getvalue()
