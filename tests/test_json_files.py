import json
import math

import pytest

from bundle.data.domain_folder import read_datalist
from bundle.errors import DataError
from bundle.json_files import parse_json, read_json, write_json
from bundle.preferences.candidates.files import read_candidates
from bundle.preferences.store.judgement_store import JudgementStore

DEEP = "[" * 100_000
HOSTILE = {
    DEEP: "nested too deeply",
    "[" * 40 + "]" * 40: "nested too deeply",
    '{"a":' * 900 + "1" + "}" * 900: "nested too deeply",
    f'{{"a": 1{"0" * 400}}}': "too large",
    f'{{"a": -1{"0" * 5000}}}': "too large",
    '{"a": 1e999}': "too large",
    '{"a": NaN}': "NaN is no JSON",
    '{"a": -Infinity}': "-Infinity is no JSON",
    r'{"\ud800": 1}': "surrogate",
    r'["a\udfffb"]': "surrogate",
    '{"a": [1], "b": 2, "a": [3]}': "'a' stands twice",
    '{"a": {"b": 1, "b": 1}}': "'b' stands twice",
    '{"a": 1': "cannot be read as JSON",
    "": "cannot be read as JSON",
}


@pytest.mark.parametrize(("text", "reason"), HOSTILE.items(), ids=range(len(HOSTILE)))
def test_what_is_no_json_gets_one_line(tmp_path, text, reason):
    file = tmp_path / "hostile.json"
    file.write_text(text)
    with pytest.raises(DataError, match=reason) as caught:
        read_json(file)
    line = str(caught.value)
    assert line.startswith(f"{file}: ") and "\n" not in line and len(line) < 300 + len(str(file))
    line.encode()


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "a.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(DataError, match=r"a\.json: cannot be read as JSON"):
        read_json(tmp_path / "a.json")


def test_right_json_is_read_as_it_is():
    text = '{"a": [1, -2.5, 1e3, null, true, "\\ud83d\\ude00"], "b": {"a": 123456789012345678}, "c": []}'
    assert parse_json(text) == json.loads(text)
    assert parse_json("[" * 32 + "]" * 32) and parse_json("3") == 3


def test_numbers_that_are_not_finite_are_written_as_null(tmp_path):
    write_json(tmp_path / "a.json", {"dice": [math.nan, (math.inf, 0.5)], "x": -math.inf})
    assert read_json(tmp_path / "a.json") == {"dice": [None, [None, 0.5]], "x": None}


def test_every_reader_of_a_given_file_refuses_it(tmp_path):
    for text in (DEEP, '{"pixel_size": 1e999}', '{"pixel_size": true}', '{"training": [], "training": []}'):
        (tmp_path / "datalist.json").write_text(text)
        with pytest.raises(DataError, match=r"datalist\.json"):
            read_datalist(tmp_path)
    (tmp_path / "export.jsonl").write_text(DEEP)
    with JudgementStore(tmp_path / "s.sqlite") as store, pytest.raises(DataError, match=r"line 1: no JSON.*deeply"):
        store.import_jsonl(tmp_path / "export.jsonl")
    (tmp_path / "a.npz").write_text(DEEP)
    with pytest.raises(DataError, match="no file of candidates"):
        read_candidates(tmp_path / "a.npz")
