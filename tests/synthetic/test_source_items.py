from pathlib import Path

import pytest

from bundle.data import load_domain, summarize_items
from bundle.data.image_files import read_image
from bundle.errors import DataError, SettingError
from bundle.synthetic import SyntheticDataset, source_items

SHAPE = (32, 40)


def synthetic(cache_dir, **changes):
    given = {"source_dir": "synthetic", "pixel_size": 20.0, "number": 3, "shape": SHAPE, "seed": 0}
    return source_items(cache_dir=cache_dir, **{**given, **changes})


def test_a_folder_is_listed_as_it_is(domain_pair, tmp_path):
    for folder in (domain_pair.source, str(domain_pair.source)):
        assert synthetic(tmp_path, source_dir=folder, pixel_size=None) == load_domain(folder, "training")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError, match="/nowhere: no such folder"):
        synthetic(tmp_path, source_dir="/nowhere")


def test_synthetic_images_are_there_with_their_masks(tmp_path):
    items = synthetic(tmp_path)
    assert items == SyntheticDataset(tmp_path, 20.0, 3, SHAPE, 0).data
    for item in items:
        assert read_image(item["image"]).shape[:2] == read_image(item["label"]).shape[:2] == SHAPE[::-1]


def test_the_word_is_no_folder_and_a_path_is_one(domain_pair, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "synthetic").symlink_to(domain_pair.source)
    assert synthetic(tmp_path / "cache")[0]["image"].startswith(str(tmp_path / "cache"))
    assert synthetic(tmp_path, source_dir="./synthetic") == load_domain("synthetic", "training")


def test_what_was_interrupted_goes_on_and_says_how_far_it_is(tmp_path, capsys):
    items = synthetic(tmp_path)
    assert "rendering synthetic images: 100%" in capsys.readouterr().err
    last = Path(items[2]["image"])
    before = last.read_bytes()
    last.unlink()
    kept = {Path(item["image"]): Path(item["image"]).stat().st_mtime_ns for item in items[:2]}
    assert synthetic(tmp_path) == items
    assert "1/1" in capsys.readouterr().err and last.read_bytes() == before
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    synthetic(tmp_path)
    assert capsys.readouterr().err == ""


def test_a_summary_does_not_depend_on_where_they_lie(tmp_path):
    summary = summarize_items(synthetic(tmp_path / "a"))
    assert summary.startswith("3 images, 0 clicks, ") and summary == summarize_items(synthetic(tmp_path / "b" / "c"))
    for change in ({"seed": 1}, {"number": 2}, {"pixel_size": 10.0}, {"shape": (40, 32)}):
        assert summarize_items(synthetic(tmp_path / "a", **change)) != summary


def test_an_unknown_pixel_size_is_refused(tmp_path):
    with pytest.raises(SettingError, match=r"source_dir is 'synthetic', .* nobody tells; give --pixel_size NM"):
        synthetic(tmp_path, pixel_size=None)


@pytest.mark.parametrize(
    "wrong", [{"number": 0}, {"seed": -1}, {"shape": (8, 8)}, {"shape": 192}, {"shape": ["a", 64]}]
)
def test_numbers_that_cannot_be_are_refused(tmp_path, wrong):
    with pytest.raises(DataError, match=next(iter(wrong))):
        synthetic(tmp_path, **wrong)
    assert list(tmp_path.iterdir()) == []
