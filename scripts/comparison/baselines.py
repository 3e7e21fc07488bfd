"""Rows of a comparison that do without this bundle's method: same images, same steps, same scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.comparison.annotated_crops import write_crops
from scripts.comparison.cells import Task
from scripts.comparison.person_time import CAUTIOUS, MASK, PersonTime, count_clicks

if TYPE_CHECKING:
    from scripts.comparison.comparison import Comparison

PAID = "wda_15+slpo_15"
"""The row whose clicks and votes take a person as long as the masks of :data:`EQUAL_TIME`."""

EQUAL_TIME = {"supervised_equal_time": MASK, "supervised_equal_time_half": CAUTIOUS * MASK}
"""Rows that are trained on masks, and the seconds of a mask."""

BASELINES = ("basic_unet", "histogram_matching", *EQUAL_TIME)

EVALUATIONS: Mapping[str, Mapping[str, Any]] = {
    "basic_unet": {"configs": ("train.json", "presets/basic_unet.json", "evaluate.json"), "val_points": "$None"},
    "histogram_matching": {"configs": ("train.json", "evaluate.json", "match_gray_values.json")},
}
"""Arguments of the evaluation of a row that is not evaluated as the others are; a BasicUNet takes no clicks."""

CROP = 128
"""Pixels of an annotated crop: ``crop_size`` of ``configs/train.json``."""


def baseline_trainings(comparison: Comparison) -> dict[str, Task]:
    """The trainings of the baselines, by row, each with the cells that it waits for."""
    tasks = {"basic_unet": Task(partial(train_unet, comparison), [f"prepare {comparison.source}"])}
    return tasks | {
        row: Task(partial(train_on_crops, comparison, row), [f"learn preferences {PAID}"]) for row in EQUAL_TIME
    }


def baseline_time(comparison: Comparison, row: str) -> PersonTime:
    """What a person gives to a baseline."""
    if row not in EQUAL_TIME:
        return PersonTime()
    return PersonTime(
        masks=count_clicks(crops_folder(comparison, row), "points_100.json"), mask_seconds=EQUAL_TIME[row]
    )


def crops_folder(comparison: Comparison, row: str) -> Path:
    """The domain folder of annotated crops of a row."""
    return comparison.run / f"{row}.domain"


def train_unet(comparison: Comparison) -> None:
    """Train MONAI's BasicUNet on the source's masks."""
    comparison.supervise(
        comparison.checkpoint("basic_unet"),
        comparison.source_dir(comparison.source),
        "basic_unet",
        configs=("train.json", "presets/basic_unet.json", "source.json"),
    )


def train_on_crops(comparison: Comparison, row: str) -> None:
    """Train, as long as ``supervised``, on the masks that a person draws in the time of :data:`PAID`."""
    folder = crops_folder(comparison, row)
    if not folder.is_dir():
        seconds = 60 * comparison.person_time(PAID).minutes
        domain = comparison.folder(comparison.target)
        write_crops(domain, folder, math.floor(seconds / EQUAL_TIME[row]), CROP, comparison.seed)
    comparison.supervise(comparison.checkpoint(row), folder, row, init=comparison.init)
