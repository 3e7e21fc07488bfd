import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from monai.data import CacheDataset, DataLoader

from bundle.data import load_domain, summarize_items
from bundle.data.image_files import read_image
from bundle.errors import DataError
from bundle.synthetic import SyntheticDataset
from bundle.transforms import LoadGrayImaged

SHAPE = (48, 64)


def make(folder, **changes):
    return SyntheticDataset(folder, **({"pixel_size": 20.0, "number": 4, "shape": SHAPE} | changes))


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()
    }


def read_all(folder):
    return [item["image"] for item in make(folder)]


def test_nothing_is_rendered_before_it_is_asked_for(tmp_path):
    data = make(tmp_path)
    assert len(data) == 4
    assert contents(tmp_path) == {}
    item = data[2]
    assert len(contents(tmp_path)) == 2
    image, label = read_image(item["image"]), read_image(item["label"])
    assert image.shape[:2] == label.shape[:2] == (64, 48)  # (X, Y)
    assert set(np.unique(label)) <= {0, 255}


def test_items_are_those_of_a_domain_folder(tmp_path):
    data = make(tmp_path)
    folder = data.render_all()
    assert list(data) == load_domain(folder, "training")
    assert json.loads((folder / "datalist.json").read_text())["pixel_size"] == 20.0


def test_files_are_rendered_once(tmp_path, monkeypatch):
    first = [dict(item) for item in make(tmp_path)]
    monkeypatch.setattr("bundle.synthetic.synthetic_dataset.render", None)
    assert list(make(tmp_path)) == first


def test_the_same_seed_gives_the_same_files_and_more_images_begin_with_the_fewer(tmp_path):
    make(tmp_path / "a").render_all()
    make(tmp_path / "b", number=5).render_all()
    a, b = contents(tmp_path / "a"), contents(tmp_path / "b")
    images = [name for name in a if name.endswith(".png")]
    assert len(images) == 8
    assert all(a[name] == b[name] for name in images)


@pytest.mark.parametrize("change", [{"seed": 1}, {"pixel_size": 10.0}, {"shape": (64, 48)}])
def test_other_settings_have_other_files_and_another_summary(tmp_path, change):
    one, other = make(tmp_path), make(tmp_path, **change)
    assert one.folder != other.folder
    assert summarize_items(one.data) != summarize_items(other.data)
    assert not np.array_equal(read_image(one[0]["image"]), read_image(other[0]["image"]))


def test_other_code_has_other_files(tmp_path, monkeypatch):
    one = make(tmp_path)
    monkeypatch.setattr("bundle.synthetic.synthetic_dataset._version", lambda: "another")
    assert make(tmp_path).folder != one.folder


def test_several_processes_may_ask_at_once(tmp_path):
    with ProcessPoolExecutor(3, mp_context=get_context("fork")) as pool:
        found = list(pool.map(read_all, [tmp_path / "shared"] * 3))
    assert found[0] == found[1] == found[2]
    make(tmp_path / "alone").render_all()
    alone = {name: content for name, content in contents(tmp_path / "alone").items() if name.endswith(".png")}
    assert contents(tmp_path / "shared") == alone


def test_workers_of_a_loader_render_for_themselves(tmp_path):
    data = make(tmp_path, transform=LoadGrayImaged(keys=["image", "label"], reader="ITKReader"))
    batches = list(DataLoader(data, batch_size=2, num_workers=2))
    assert [tuple(batch["image"].shape) for batch in batches] == [(2, 64, 48)] * 2
    assert len(contents(tmp_path)) == 8


def test_it_stands_as_the_data_of_a_cache(tmp_path):
    cached = CacheDataset(make(tmp_path), LoadGrayImaged(keys="image", reader="ITKReader"), progress=False)
    assert len(cached) == 4
    assert tuple(cached[3]["image"].shape) == (64, 48)


def test_a_killed_writer_leaves_no_half_image(tmp_path, monkeypatch):
    def break_down(path, section):
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("bundle.synthetic.synthetic_dataset.write_png", break_down)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path)[0]
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("change", [{"number": 0}, {"seed": -1}, {"pixel_size": 0.0}, {"shape": (8, 64)}])
def test_numbers_that_cannot_be_used_are_refused(tmp_path, change):
    with pytest.raises(DataError, match=next(iter(change))):
        make(tmp_path, **change)


def test_negative_numbers_count_from_the_end_and_beyond_the_end_is_an_error(tmp_path):
    data = make(tmp_path)
    assert data[-1] == data[3]
    with pytest.raises(IndexError):
        data[4]
