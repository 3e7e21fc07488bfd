"""What the configuration files must have in common, in every combination that the documents and the programs name."""

import copy
import json
import re
import shutil
from itertools import product
from pathlib import Path
from pydoc import locate
from typing import Any

import numpy as np
import pytest
from monai.bundle import ConfigParser
from monai.transforms import Compose, Randomizable
from PIL import Image

from bundle.data.compact_map import CompactMap
from bundle.handler_order import check_handler_order
from tests.config_combinations import SCHEDULES, commands, is_schedule, schedules
from tests.conftest import section
from tests.integration.commands import ROOT

CONFIGS = ROOT / "configs"
MASKS = ("network_def", "preprocessing", "inferer", "postprocessing")
"""The ids of inference.json, MONAI's names, that make a mask of an image."""
RESAMPLING = {"to_network_pixels", "image_pixel_size", "pixel_size"}
"""Only images of an inference are resampled: those of a training are at the network's pixel size."""
COMBINATIONS = [
    (first, *schedule, *rest) for (first, *rest), schedule in product(sorted(commands()), sorted(schedules()))
]
TRAININGS = [files for files in COMBINATIONS if files[0] == "train.json"]
named = pytest.mark.parametrize("files", COMBINATIONS, ids="+".join)
trained = pytest.mark.parametrize("files", TRAININGS, ids="+".join)


def merged(files: tuple[str, ...], folder: Path = CONFIGS) -> dict[str, Any]:
    """The configuration of a command."""
    parser = ConfigParser()
    parser.read_config([str(folder / file) for file in files])
    return parser.get()


def read(name: str, folder: Path = CONFIGS) -> dict[str, Any]:
    return json.loads((folder / name).read_text())


def as_inference(files: tuple[str, ...]) -> tuple[str, ...]:
    """The files of inference with the weights of a training: what goes on both is on this one too."""
    return ("inference.json", *filter(is_schedule, files))


def needed(config: dict[str, Any], *ids: str) -> set[str]:
    """The ids at the top that others refer to, one after another, and themselves."""
    found, left = set(), list(ids)
    while left:
        name = left.pop()
        found.add(name)
        value: Any = config
        for part in name.split("#"):
            value = value.get(part, {})
        left += set(re.findall(r"[@%]([A-Za-z_]\w*)", json.dumps(value))) - found
    return found


def differences(files: tuple[str, ...], folder: Path = CONFIGS) -> list[str]:
    """The ids that decide on a mask and are not the same in a training and in inference."""
    training, inference = merged(files, folder), merged(as_inference(files), folder)
    shared = needed(inference, *MASKS) - (set(MASKS) - set(training)) - RESAMPLING
    return sorted(name for name in shared if training.get(name) != inference.get(name))


def changed(value: Any) -> Any:
    """Another value of the same kind, different in one place."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return f"{value}x"
    if isinstance(value, list):
        return [changed(value[0]), *value[1:]] if value else [1]
    last = [key for key in value if not key.startswith("_")][-1:] or ["_target_"]
    return {**value, last[0]: changed(value[last[0]])}


def test_all_combinations_are_found():
    """Those that a person meets first; so that the search cannot find nothing."""
    assert {("train.json",), ("train.json", "source.json"), ("inference.json",)} <= commands()
    assert {("train.json", "prefer.json", "candidates.json"), ("train.json", "evaluate.json")} <= commands()
    assert ("train.json", "prefer.json", "annotate.json") in commands()
    used = {file for files in COMBINATIONS for file in files}
    there = {str(path.relative_to(CONFIGS)) for path in CONFIGS.rglob("*.json")} - {"metadata.json"}
    assert used == there, "a configuration that no document and no program names"


@trained
def test_a_training_and_inference_make_masks_alike(files):
    assert differences(files) == []
    training, inference = merged(files), merged(as_inference(files))
    assert training["validate"]["inferer"] == inference["inferer"]
    for name in MASKS[1:]:
        assert needed(inference, name) - {name} - RESAMPLING <= needed(training, f"validate#{name}"), name


def test_what_a_mask_depends_on_is_compared_with_the_weights():
    """All ids that network, preprocessing and windows come from, but for those that may be chosen for each image."""
    both = [merged((name,)) for name in ("train.json", "inference.json")]
    sizes = [config["model_settings"].pop("pixel_size") for config in both]
    assert sizes == ["@resolved_pixel_size", "@pixel_size"]
    assert both[0]["model_settings"] == both[1]["model_settings"]
    compared = {name.partition("::")[0] for name in both[1]["model_settings"]["ids"]}
    chosen = {"overlap", "sw_batch_size", "rotations", "threshold", "min_size", "connectivity"}
    same_everywhere = {"load_image", "add_clicks", *MASKS, *RESAMPLING}
    assert needed(both[1], *MASKS) - chosen - same_everywhere == compared - {"network_def"}
    network = both[1]["network_def"]
    own = {name for name, value in network.items() if name != "_target_" and not str(value).startswith("@")}
    assert {f"network_def::{name}" for name in own} <= set(both[1]["model_settings"]["ids"])


@trained
def test_one_changed_id_is_found(files, tmp_path):
    """Each id that both must have, changed in a file that only one of them reads."""
    folder = shutil.copytree(CONFIGS, tmp_path / "configs")
    shared = needed(merged(as_inference(files)), *MASKS) & set(merged(files)) - RESAMPLING
    found = 0
    for name, side in product(sorted(shared), (files, as_inference(files))):
        setting = [file for file in side if name in read(file)]
        if not setting or is_schedule(setting[-1]):
            continue  # on both sides: one truth
        path = folder / setting[-1]
        before = path.read_text()
        config = json.loads(before)
        config[name] = changed(config[name])
        path.write_text(json.dumps(config))
        assert name in differences(files, folder), f"{name} in {setting[-1]}"
        path.write_text(before)
        found += 1
    assert found >= 2 * 7
    assert differences(files, folder) == []


def test_the_network_takes_crops_of_the_size_that_metadata_names():
    data = read("metadata.json")["network_data_format"]
    sizes = [read(name)["crop_size"] for name in ("train.json", "inference.json")]
    assert [data["inputs"]["image"]["spatial_shape"], data["outputs"]["pred"]["spatial_shape"]] == sizes


@named
def test_an_overlay_repeats_nothing_of_what_it_lies_on(files):
    """Presets apart, which name a paper's numbers."""
    for count in range(1, len(files)):
        below, overlay = merged(files[:count]), read(files[count])
        if not files[count].startswith(SCHEDULES[0]):
            assert [name for name in overlay if name in below and overlay[name] == below[name]] == [], files[count]


def lists_of_handlers(config: dict[str, Any], prefix: str = "") -> dict[str, list[Any]]:
    """The lists by id, with the components in them in full."""
    parser = ConfigParser(copy.deepcopy(config))
    parser.resolve_macro_and_relative_ids()
    found = {}
    for name in ("handlers", "train#handlers", "validate#handlers"):
        if (entries := parser.get(name)) is not None:
            found[name] = [parser.get(e[1:]) if isinstance(e, str) else e for e in entries]
    return found


@named
def test_handlers_are_in_order_and_one_that_is_moved_is_found(files):
    config = merged(files)
    check_handler_order(config)
    for name, handlers in lists_of_handlers(config).items():
        kinds = [handler["_target_"].rpartition(".")[2] for handler in handlers]
        for place, handler in enumerate(handlers):
            behind = {other for other in getattr(locate(handler["_target_"]), "ahead_of", ()) if other in kinds}
            for other in behind:
                moved = [*handlers[:place], *handlers[place + 1 :]]
                moved.insert(kinds.index(other), handler)
                parser = ConfigParser(copy.deepcopy(config))
                parser[name] = moved
                with pytest.raises(ValueError, match=f"{name}: {kinds[place]} stands behind"):
                    check_handler_order(parser.get())


def test_every_rule_of_order_is_about_handlers_that_stand_together_somewhere():
    together, rules = set(), {}
    for files in COMBINATIONS:
        for handlers in lists_of_handlers(merged(files)).values():
            kinds = {handler["_target_"].rpartition(".")[2]: handler["_target_"] for handler in handlers}
            together |= set(product(kinds, kinds))
            rules |= {kind: getattr(locate(target), "ahead_of", ()) for kind, target in kinds.items()}
    asked = {(kind, other) for kind, others in rules.items() for other in others}
    assert {("PreferenceGuard", "Resume"), ("PreferenceGuard", "SaveWeights"), ("LoadWeights", "Resume")} <= asked
    assert {("EvaluationTable", "StatsHandler"), ("EvaluationTable", "MLFlowHandler")} <= asked
    # --tracking mlflow puts its handler behind all others; the tables have no TensorBoard
    assert {other for _, other in asked - together} <= {"MLFlowHandler", "TensorBoardStatsHandler"}


def loading(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The ids of all chains of transforms that begin by loading."""
    found = []
    for key, value in config.items():
        if isinstance(value, dict):
            if value.get("_target_") == "Compose" and "@load_image" in str(value["transforms"]):
                found.append(f"{prefix}{key}")
            found += loading(value, f"{prefix}{key}#")
    return found


def test_a_third_entry_of_normalize_reaches_every_image(tmp_path):
    """Source, target, validation, the images of stage 2 and its crops, and inference."""
    pixels, mask, _ = section(np.random.default_rng(0), 60)
    for name, rows in (("image", pixels), ("label", mask)):
        Image.fromarray(rows).save(tmp_path / f"{name}.png")
    item = {name: str(tmp_path / f"{name}.png") for name in ("image", "label")} | {"points": [], "point_labels": []}
    seen = set()
    for files in sorted(commands()):
        config = merged(files)
        config |= {"pixel_size": 20, "image_pixel_size": 20, "source_labels": []}
        config["normalize"] = [*config["normalize"], {"_target_": "ShiftIntensityd", "keys": "image", "offset": 1000.0}]
        for name in loading(config):
            chain = ConfigParser(copy.deepcopy(config)).get_parsed_content(name)
            assert isinstance(chain, Compose)
            data = dict(item)
            for transform in chain.transforms:
                if isinstance(transform, Randomizable) or type(transform).__name__ == "LoadJudgementsd":
                    break
                data = transform(data)
            image = data["image"]
            if isinstance(image, CompactMap):
                image = image.crop((slice(0, 60), slice(0, 60)))
            assert image[0].max() > 900, (files, name)
            seen.add((files[-1], name))
    train = {("train.json", f"{branch}#preprocessing") for branch in ("source", "train", "validate")}
    stage_2 = {("prefer.json", name) for name in ("train#preprocessing", "questionnaire#dataset#transform")}
    assert train | stage_2 | {("inference.json", "preprocessing")} <= seen
