import pytest
from monai.bundle import ConfigParser

from bundle.handlers import model_settings

ALL = ["encoder", "net::flag", "normalize", "size", "absent"]


def settings(ids=ALL, known=None, **changes):
    """What a configuration of these ids finds out of itself."""
    config = {
        "imports": ["$import torch"],
        "width": 8,
        "path": "/home/me/start.pth",
        "encoder": {"_target_": "torch.nn.Linear", "in_features": "@width", "out_features": "$@width * 2"},
        "net": {"_target_": "torch.nn.Sequential", "flag": "$not False"},
        "normalize": [{"_target_": "NormalizeIntensityd", "keys": "image", "_desc_": "note"}],
        "size": (32, 48),
        "model_settings": {"_target_": "bundle.handlers.model_settings", "ids": ids, **(known or {})},
        **changes,
    }
    return ConfigParser(config).get_parsed_content("model_settings")


def test_components_stay_json_and_all_else_becomes_its_value():
    assert settings() == {
        "encoder": {"_target_": "torch.nn.Linear", "in_features": 8, "out_features": 16},
        "net#flag": True,
        "normalize": [{"_target_": "NormalizeIntensityd", "keys": "image"}],
        "size": [32, 48],
    }


def test_macros_and_references_to_components_are_followed():
    other = {"_target_": "torch.nn.ReLU", "inplace": True}
    found = settings(other=other, encoder="@other", normalize=["%other"])
    assert found["encoder"] == other and found["normalize"] == [other]


def test_a_file_that_an_encoder_started_from_is_no_part_of_it():
    encoder = {"_target_": "bundle.networks.ViTEncoder", "depth": 1, "weights": "@path"}
    assert settings(encoder=encoder)["encoder"] == {**encoder, "weights": None}


def test_what_json_has_not_stays_an_expression():
    step = {"_target_": "CastToTyped", "keys": "image", "dtype": "$torch.float32"}
    assert settings(normalize=[step])["normalize"] == [step]


def test_known_values_are_taken_as_they_are():
    assert settings(ids=[], known={"pixel_size": "$@width / 2"}) == {"pixel_size": 4.0}


def test_a_run_in_a_run_reads_its_own(monkeypatch):
    """A program that was made by one configuration and runs another."""
    inner = {"_target_": "tests.handlers.test_model_settings.settings", "width": 16}
    found = ConfigParser({"width": 4, "inner": inner}).get_parsed_content("inner")
    assert found["encoder"]["in_features"] == 16


def test_elsewhere_it_says_so():
    with pytest.raises(RuntimeError, match="component of a configuration"):
        model_settings(["a"])
