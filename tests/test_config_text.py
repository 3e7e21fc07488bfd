"""Paths as settings: what MONAI and the command line make of them."""

import ast

import pytest
from monai.bundle import ConfigParser

from bundle.config_text import config_text
from bundle.preflight import parse_command

ODD = [
    "/a#b",
    "/a@#b",
    "/100%#b",
    "@x",
    "%y.json",
    "x::y#",
    "/a\\#\\",
    "/one\ntwo#",
    "/ü#\N{GRINNING FACE}\udcff",
    "/{}#{0}",
    "$import os",
    "$__import__('os').abort()",
    "/#'+__import__('os').abort()+'",
    '/#"+__import__("os").abort()+"',
    '/#\\"+__import__("os").abort()#',
    "/@device#",
]


@pytest.mark.parametrize("path", ODD)
def test_odd_paths_come_out_as_they_went_in(path):
    text = config_text(path)
    (setting,) = parse_command(["run", "--dataset_dir", text]).values()
    parser = ConfigParser(
        {"dataset_dir": setting, "below": "$@dataset_dir + '/x'", "nested": {"list": ["@dataset_dir"]}}
    )
    assert parser.get_parsed_content("dataset_dir") == path
    assert parser.get_parsed_content("below") == path + "/x"
    assert parser.get_parsed_content("nested") == {"list": [path]}


def test_it_is_one_text_literal_whatever_the_name():
    for number in range(0x3000):
        name = f"#{chr(number)}'\"\\"
        text = config_text(name)
        assert text[0] == "$" and ast.literal_eval(text[1:]) == name
        assert text.isascii() and text.isprintable() and not set(text[1:]) & set("#@%$'")


def test_other_paths_stay_readable(tmp_path):
    for path in (str(tmp_path), "a b", "C:/ü", "it's"):
        assert config_text(path) == path
    assert config_text(tmp_path / "x") == str(tmp_path / "x")
