import json
import logging
import os

import pytest
import torch
from monai.bundle import ConfigParser

from bundle.errors import DataError
from bundle.handlers.model_overlay import (
    LARGEST,
    PROVENANCE,
    check_overlay,
    check_place,
    overlay_path,
    overlay_text,
    overlays_of,
)

SETTINGS = {
    "image_encoder": {"_target_": "bundle.networks.ConvEncoder", "channels": [8, 8, 16], "blocks": [1, 1, 1]},
    "network_def#dense_prompts": False,
    "max_points": 8,
    "normalize": [{"_target_": "NormalizeIntensityd", "keys": "image"}],
    "pixel_size": 20.0,
}
STATE = {"w": torch.ones(3), "b": torch.zeros(1)}


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint and its overlay."""
    path = tmp_path / "model.pt"
    torch.save(STATE, path)
    overlay_path(path).write_text(overlay_text(SETTINGS, {"seed": 0}, STATE))
    return path


def refused(checkpoint, settings=SETTINGS, state=STATE):
    with pytest.raises(DataError) as error:
        check_overlay(checkpoint, state, settings)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_it_is_a_configuration_that_gives_the_settings_back(checkpoint):
    parser = ConfigParser()
    base = checkpoint.with_name("base.json")
    base.write_text(json.dumps({"network_def": {"dense_prompts": True, "decoder": {}}, "max_points": 64}))
    parser.read_config([str(base), str(overlay_path(checkpoint))])
    assert parser["max_points"] == 8 and parser["network_def"] == {"dense_prompts": False, "decoder": {}}
    assert type(parser.get_parsed_content("image_encoder")).__name__ == "ConvEncoder"


def test_it_bears_the_hash_and_the_date(checkpoint):
    said = json.loads(overlay_path(checkpoint).read_text())[PROVENANCE]
    assert said.keys() == {"weights", "date", "seed"} and said["date"].endswith("+00:00") and len(said["weights"]) == 64


def test_the_same_settings_pass(checkpoint, caplog):
    check_overlay(checkpoint, STATE, SETTINGS)
    assert not caplog.records


def test_differences_are_told_by_their_ids_with_the_file_to_add(checkpoint):
    other = {**SETTINGS, "network_def#dense_prompts": True, "image_encoder": {"_target_": "x", "channels": [8] * 60}}
    line = refused(checkpoint, other)
    assert f"{checkpoint}: its training had " in line and f"[..., '{checkpoint.with_suffix('.json')}']" in line
    assert "network_def#dense_prompts False, not True" in line and "image_encoder#channels [8, 8, 16], not [8" in line
    assert len(line) < 1000 and "..." in line


def test_a_step_more_or_less_is_a_difference(checkpoint):
    more = [*SETTINGS["normalize"], {"_target_": "ShiftIntensityd", "keys": "image", "offset": 1}]
    assert "normalize#1#_target_ None, not 'ShiftIntensityd'" in refused(checkpoint, {**SETTINGS, "normalize": more})
    assert "normalize#0#keys 'image', not None" in refused(checkpoint, {**SETTINGS, "normalize": []})


@pytest.mark.parametrize(("size", "same"), [(20.1, True), (20, True), (None, True), (20.5, False), (8.0, False)])
def test_pixel_sizes_may_differ_a_little_or_be_unknown(checkpoint, size, same):
    settings = {**SETTINGS, "pixel_size": size}
    if same:
        check_overlay(checkpoint, STATE, settings)
    else:
        assert f"pixel_size 20.0, not {size}" in refused(checkpoint, settings)


def test_a_run_that_knows_no_pixel_size_is_told_that_of_the_weights(checkpoint, caplog):
    check_overlay(checkpoint, STATE, {**SETTINGS, "pixel_size": None})
    (record,) = caplog.records
    assert "works at 20.0 nm, but pixel_size is not known here" in record.getMessage()
    assert str(overlay_path(checkpoint)) in record.getMessage()


def test_a_setting_that_is_new_is_no_difference(checkpoint):
    check_overlay(checkpoint, STATE, {**SETTINGS, "since_then": 1})


def test_without_overlay_there_is_one_warning(checkpoint, caplog):
    overlay_path(checkpoint).unlink()
    check_overlay(checkpoint, STATE, {**SETTINGS, "max_points": 1})
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and "model.json" in record.getMessage()


def test_the_overlay_of_other_weights_is_no_pair(checkpoint):
    line = refused(checkpoint, state={**STATE, "b": torch.ones(1)})
    assert line.startswith(f"{checkpoint.with_suffix('.json')}: is of other weights than those in model.pt")
    assert "with --resume True" in line


MALFORMED = {
    "empty": b"",
    "text": b"no JSON",
    "bytes": b"\xff\xfe\x00",
    "list": b"[1, 2]",
    "deep": b"[" * 100_000,
    "not finite": b'{"max_points": NaN}',
    "another file": b'{"max_points": 8}',
    "no hash": json.dumps({PROVENANCE: {"weights": None}}).encode(),
    "huge": b" " * (LARGEST + 1),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_file_is_one_line(checkpoint, kind):
    path = overlay_path(checkpoint)
    path.write_bytes(MALFORMED[kind])
    assert refused(checkpoint).startswith(f"{path}: ")
    for ask in (overlays_of, check_place):
        with pytest.raises(DataError, match=r"^.*model\.json: [^\n]*$"):
            ask(checkpoint)


def test_what_is_no_file_is_one_line(checkpoint):
    path = overlay_path(checkpoint)
    path.unlink()
    os.mkfifo(path)
    assert refused(checkpoint).startswith(f"{path}: ")


def test_programs_take_it_from_beside_the_weights(checkpoint):
    assert overlays_of(checkpoint) == [checkpoint.with_suffix(".json")]
    overlay_path(checkpoint).unlink()
    assert overlays_of(checkpoint) == []


@pytest.mark.parametrize(
    "harm",
    [
        {"max_points": "$__import__('os').system('true')"},
        {"x": "%other"},
        {"normalize": [{"_target_": "NormalizeIntensityd", "keys": "@image"}]},
        {"image_encoder": {"_target_": "subprocess.run", "args": ["true"]}},
        {"image_encoder": {"_target_": "bundle.atomic.file.os.remove", "path": "a"}},
        {"image_encoder": {"_target_": "monai.bundle.run"}},
        {"image_encoder": {"_target_": ["os.remove"]}},
        {"normalize": [{"_target_": "Compose", "transforms": [{"_target_": "os.remove", "path": "a"}]}]},
        {PROVENANCE: {"weights": "0", "note": "$import os"}},
    ],
    ids=str,
)
def test_from_beside_the_weights_no_code_is_taken(checkpoint, harm):
    """Weights run none, so neither does what lies beside them; who names it as a configuration knows what that is."""
    overlay_path(checkpoint).write_text(json.dumps({**SETTINGS, PROVENANCE: {"weights": "0"}, **harm}))
    with pytest.raises(DataError, match=r"model\.json: has .* may run any code"):
        overlays_of(checkpoint)


def test_no_training_begins_where_its_overlay_would_replace_another_file(tmp_path):
    (tmp_path / "settings.json").write_text("{}")
    with pytest.raises(DataError, match=r"settings\.json: lies beside weights.*give it another name"):
        check_place(tmp_path / "settings.pt")
    with pytest.raises(DataError, match=r"expected another suffix"):
        check_place(tmp_path / "model.json")
    check_place(tmp_path / "new.pt")
