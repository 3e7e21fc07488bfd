import json
from dataclasses import replace

import pytest

from bundle.errors import DataError
from bundle.preferences.store.click_records import ClickRecord
from bundle.preferences.store.json_lines import read_lines, write_lines
from bundle.preferences.store.records import Candidate, Judgement, Question, now

CANDIDATES = (Candidate("as it is", "a"), Candidate("evolved", "b"))
QUESTION = Question("images/a.png", "image", "a.npz", CANDIDATES, "grid:8", 1, (8, 0, 16, 8), "model", 2.5)
RECORDS = [
    Judgement(QUESTION, 1, "person:ada", 3.0),
    Judgement(QUESTION, "tie", "oracle:label", 0.0),
    Judgement(QUESTION, "none", "oracle:label", 0.0),
    Judgement(QUESTION, "undo", "person:ada", 1.0),
    Judgement(replace(QUESTION, shown=(0, 1)), 0, "person:ada", 1.0),
    ClickRecord(
        uid="one", image="images/a.png", x=3, y=70, label=0, action="add", annotator="person:ä", created_at=now()
    ),
]


def written(path, change=None):
    """A file of the records, in which the first line is changed."""
    write_lines(path, RECORDS)
    first, *others = path.read_text().splitlines()
    path.write_text("\n".join([change(first) if change else first, *others]) + "\n")
    return path


def with_field(**fields):
    return lambda line: json.dumps(json.loads(line) | fields)


def without(name):
    return lambda line: json.dumps({key: value for key, value in json.loads(line).items() if key != name})


def test_records_are_read_as_they_were_written(tmp_path):
    assert [record for _, record in read_lines(written(tmp_path / "a.jsonl"))] == RECORDS


def test_lines_are_numbered_and_empty_ones_passed_over(tmp_path):
    path = written(tmp_path / "a.jsonl")
    path.write_text("\n" + path.read_text().replace("\n", "\n\n"))
    assert [number for number, _ in read_lines(path)] == [2, 4, 6, 8, 10, 12]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda line: line[:-5], "no JSON"),
        (lambda line: "[1, 2]", "expected a JSON object"),
        (without("annotator"), "fields missing: annotator, unknown: none"),
        (with_field(colour="red"), "fields missing: none, unknown: colour"),
        (with_field(chosen=2), "chosen is 2"),
        (with_field(seconds=-1), "seconds is -1"),
        (with_field(annotator="ada"), "annotator is 'ada'"),
        (with_field(box=[8, 0, 8, 8]), "box is"),
        (with_field(candidates=[]), "candidates is"),
        (with_field(shown=[0, 2]), "shown is (0, 2)"),
        (with_field(shown="01"), "shown is '01'"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path, change, text):
    path = written(tmp_path / "a.jsonl", change)
    with pytest.raises(DataError) as error:
        list(read_lines(path))
    assert str(error.value).startswith(f"{path}: line 1: ") and text in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_text(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DataError, match="cannot be read as JSON Lines"):
        list(read_lines(tmp_path / "a.jsonl"))
