import pickle

import pytest

from bundle.data.points import read_points
from bundle.errors import LONGEST, DataError, DivergedError, SettingError
from bundle.json_files import write_json


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("a\nb\r\nc", "a\\nb\\r\\nc"),
        ("\x1b[31mred\x00", "\\x1b[31mred\\x00"),
        ("a\u2028b\x85c", "a\\u2028b\\x85c"),
        ("\ud800", "\\ud800"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("Zürich, 日本, 50 %, C:\\x", "Zürich, 日本, 50 %, C:\\x"),
    ],
)
@pytest.mark.parametrize("kind", [DataError, SettingError, DivergedError])
def test_a_message_is_one_line_that_can_be_printed(kind, hostile, shown):
    error = kind(f"{hostile}: no such file")
    assert str(error) == f"{shown}: no such file"
    str(error).encode()
    # an error of a data loader's worker is pickled
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_long_message_keeps_what_is_wrong_and_what_to_do():
    line = str(DataError(f"a.json: name is {'x' * 70_000}; rename it"))
    assert len(line) == LONGEST and line.startswith("a.json: name is xx") and line.endswith("xx; rename it")


@pytest.mark.parametrize("entry", ["a\nb", "\x1b[2J", {"points": [["\u202e", 1]]}, {"points": [[1, "x" * 5000]]}])
def test_what_a_file_holds_is_quoted_in_one_line(tmp_path, entry):
    write_json(tmp_path / "clicks.json", {"complete": False, "points": {"a.png": entry}})
    with pytest.raises(DataError) as raised:
        read_points(tmp_path / "clicks.json", ["images/a.png"])
    line = str(raised.value)
    assert "clicks.json: a.png" in line and len(line) <= LONGEST and line.isprintable()
