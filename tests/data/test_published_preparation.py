"""Small archives of the published layouts become domain folders."""

import json
import logging
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from skimage.io import imread

from bundle.data import published_preparation
from bundle.data.domain_folder import load_domain, read_datalist
from bundle.data.evaluation_items import evaluation_items
from bundle.data.preparation import Preparation
from bundle.data.published_preparation import prepare_published
from bundle.errors import MendableError, SettingError
from bundle.keys import IMAGE, LABEL, NATIVE_LABEL, NATIVE_PIXEL_SIZE, POINTS
from scripts.prepare_data import main
from tests.data.published_archives import (
    HEIGHT,
    WIDTH,
    mitoem_files,
    section,
    stem_files,
    write_lucchi,
    write_mitoem,
    write_zip,
)
from tests.loop_disk import loop_disk, need_loop_disks


def _prepare(name, output, *places, **options):
    return prepare_published(name, list(places), Preparation(**({"output": output} | options)))


def _refused(tmp_path, name, *places, words=(), **options):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(MendableError) as caught:
        _prepare(name, tmp_path / "out", *places, **options)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert ".partial" not in str(caught.value), "names a temporary file that is gone"
    assert sorted(tmp_path.rglob("*")) == before
    return str(caught.value)


def test_mitoem_with_one_command(tmp_path, capsys, caplog):
    write_mitoem(tmp_path, "H")
    write_mitoem(tmp_path, "R")
    command = f"--dataset mitoem-h --archives {tmp_path} --output {tmp_path / 'out'}".split()
    with caplog.at_level(logging.WARNING):
        assert main(command) == 0
    assert "training: 2 images, 2 with a mask" in capsys.readouterr().out
    datalist = read_datalist(tmp_path / "out")
    assert (datalist["name"], datalist["pixel_size"]) == ("mitoem-h", 8.0)
    assert datalist["test"] == [{IMAGE: "images/test_0400.png", LABEL: "labels/test_0400.png"}], "8 nm: not resampled"
    for split, numbers in (("training", (0, 1)), ("test", (400,))):
        for item, number in zip(load_domain(tmp_path / "out", split, "points_100.json"), numbers, strict=True):
            image, instances = section(number)
            np.testing.assert_array_equal(imread(item[IMAGE]), image)
            np.testing.assert_array_equal(imread(item[LABEL]) > 0, instances > 0)
            assert len(item[POINTS]) == 2
    assert (tmp_path / "out/points_15.json").is_file()
    assert [record.getMessage() for record in caplog.records] == [
        "MitoEM-H, human cortex: 2 sections of the training split, of 400 published",
        "MitoEM-H, human cortex: 1 sections of the test split, of 100 published",
        f"{tmp_path}/EM30-H-im.zip: im/im0000.png: sections of {WIDTH} x {HEIGHT} pixels (width x height), but "
        "MitoEM-H, human cortex has 4096 x 4096: is it this data set?",
    ]
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith(".")} == set(), "unpacked files are gone"


def test_lucchi_pairs_by_number_and_keeps_the_masks_of_its_own_grid(tmp_path):
    prepared = _prepare("lucchi-pp", tmp_path / "out", write_lucchi(tmp_path), output_pixel_size=8.0)
    assert prepared.sizes == {(round(WIDTH * 5 / 8), round(HEIGHT * 5 / 8))}
    names = {split: [Path(e[IMAGE]).stem for e in entries] for split, entries in prepared.entries.items()}
    assert names["training"] == ["train_0000", "train_0001", "train_0010"]
    assert names["test"] == ["test_0000", "test_0002"]
    assert all(NATIVE_LABEL not in entry for entry in prepared.entries["training"])
    for item, number in zip(evaluation_items(tmp_path / "out", "test"), (50, 52), strict=True):
        np.testing.assert_array_equal(imread(item[NATIVE_LABEL]) > 0, section(number)[1] > 0)
        assert item[NATIVE_PIXEL_SIZE] == 5.0


@pytest.mark.parametrize("masks", ["labels", "instances"])
def test_stem_takes_volumes_apart_and_its_own_split(tmp_path, masks):
    archive = write_zip(tmp_path / "Dataset008_ME2-Stem.zip", stem_files(masks))
    prepared = _prepare("mitoem2-stem", tmp_path / "out", archive)
    assert {split: len(entries) for split, entries in prepared.entries.items()} == {
        "training": 3,
        "validation": 3,
        "test": 3,
    }
    items = load_domain(tmp_path / "out", "test")
    assert Path(items[2][IMAGE]).name == "test_me2-stem_test01_z002.png"
    for z, item in enumerate(items):
        image, instances = section(6 + z)
        np.testing.assert_array_equal(imread(item[IMAGE]), image)
        np.testing.assert_array_equal(imread(item[LABEL]) > 0, instances > 0, "the boundary class is background")


def test_stem_without_a_split_file(tmp_path):
    archive = write_zip(tmp_path / "any name.zip", stem_files(listed=False))
    prepared = _prepare("mitoem2-stem", tmp_path / "out", archive, validation_share=0.5)
    assert [len(entries) for entries in prepared.entries.values()] == [3, 3, 3]


def test_unpacked_folders_are_read_where_they_are(tmp_path):
    for name, content in stem_files().items():
        (tmp_path / "hub" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "hub" / name).write_bytes(content)
    first = _prepare("mitoem2-stem", tmp_path / "a", tmp_path / "hub")
    second = _prepare("mitoem2-stem", tmp_path / "b", tmp_path / "hub" / "Dataset008_ME2-Stem")
    assert first.entries == second.entries
    assert read_datalist(tmp_path / "a")["name"] == "mitoem2-stem"
    assert (tmp_path / "hub/Dataset008_ME2-Stem/split.json").is_file(), "what was read is left alone"


def test_archives_of_another_data_set(tmp_path):
    images, labels = write_mitoem(tmp_path, "R")
    _refused(tmp_path, "mitoem-h", images, labels, words=["EM30-R-im.zip", "of mitoem-r", "EM30-H-im.zip"])
    archive = write_lucchi(tmp_path).rename(tmp_path / "x.zip")
    _refused(tmp_path, "mitoem-h", archive, words=["no masks of the split 'training'", "mito-train-v2/seg0000.tif"])
    _refused(tmp_path, "mitoem2-stem", archive, words=["no volumes", "imagesTr/NAME_0000.nii.gz"])


def test_half_of_a_data_set(tmp_path):
    images, labels = write_mitoem(tmp_path)
    _refused(tmp_path, "mitoem-h", labels, words=["seg0000.tif: no image has this number", "im/im0000.png"])
    _refused(tmp_path, "mitoem-h", images, words=["no masks", "mito-train-v2"])
    _refused(tmp_path, "mitoem-h", tmp_path / "absent.zip", words=["absent.zip: no such file"])
    _refused(tmp_path, "mitoem-h", words=["no archives", "EM30-H-im.zip"])
    files = stem_files()
    del files["Dataset008_ME2-Stem/labelsTr/me2-stem_train02.nii.gz"]
    archive = write_zip(tmp_path / "s.zip", files)
    _refused(tmp_path, "mitoem2-stem", archive, words=["me2-stem_train02_0000.nii.gz: no mask", "labelsTr"])


def test_two_copies_in_one_folder(tmp_path):
    images, labels = mitoem_files()
    for copy in ("H", "R"):
        for name, content in {**images, **labels}.items():
            (tmp_path / "both" / copy / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "both" / copy / name).write_bytes(content)
    _refused(tmp_path, "mitoem-h", tmp_path / "both", words=["R/im/im0000.png", "has the number of", "H/im/im0000.png"])


def test_split_file_that_cannot_be(tmp_path):
    for text, words in (
        ("{", "cannot be read as JSON"),
        ('{"train": 3}', "expected the lists"),
        ('[["a"]]', "expected the lists"),
        ('{"train": ["a"], "val": ["a"]}', "stands there twice"),
        ('{"train": ["me2-stem_train09"]}', "no imagesTr/me2-stem_train09_0000.nii.gz"),
    ):
        files = stem_files() | {"Dataset008_ME2-Stem/split.json": text.encode()}
        _refused(tmp_path, "mitoem2-stem", write_zip(tmp_path / "s.zip", files), words=[words])


def test_a_damaged_picture_is_named_by_its_archive(tmp_path):
    images, labels = write_mitoem(tmp_path)
    write_zip(labels, mitoem_files()[1] | {"mito-val-v2/seg0400.tif": b"no picture"})
    _refused(
        tmp_path, "mitoem-h", images, labels, words=[f"{labels}: mito-val-v2/seg0400.tif: cannot be read as an image"]
    )
    write_zip(images, mitoem_files()[0] | {"im/im0000.png": b"no picture"})
    _refused(tmp_path, "mitoem-h", images, labels, words=[f"{images}: im/im0000.png: cannot be read as an image"])


def test_a_disk_without_space_is_noticed_before(tmp_path, monkeypatch):
    places = write_mitoem(tmp_path)
    free = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(published_preparation.shutil, "disk_usage", lambda path: free)
    _refused(tmp_path, "mitoem-h", *places, words=["GB are free", "unpacked already"])


def test_settings_that_the_data_set_has_already(tmp_path):
    archive = write_lucchi(tmp_path)
    _refused(tmp_path, "lucchi-pp", archive, words=["pixel_size is 8.0", "5 nm"], pixel_size=8.0)
    _refused(tmp_path, "lucchi-pp", archive, words=["--train"], train=[archive])
    _refused(tmp_path, "lucchi", archive, words=["'lucchi'", "lucchi-pp"])
    _refused(tmp_path, "lucchi-pp", archive, words=["points_share is 2"], points_share=[2])
    files = write_zip(tmp_path / "s.zip", stem_files())
    _refused(tmp_path, "mitoem2-stem", files, words=["there are validation images"], validation_share=0.1)
    with pytest.raises(SettingError, match="lucchi"):
        _prepare("lucchi", tmp_path / "out", archive)


def test_an_output_that_is_in_use_is_refused_before_unpacking(tmp_path, monkeypatch):
    archive = write_lucchi(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    monkeypatch.setattr(published_preparation, "_unpack", lambda *_: pytest.fail("unpacked first"))
    _refused(tmp_path, "lucchi-pp", archive, words=["out: is not empty"])


def test_archives_without_a_data_set(tmp_path, capsys):
    assert main(["--archives", "a.zip", "--output", str(tmp_path / "out")]) == 2
    assert "--dataset" in capsys.readouterr().err


def test_what_a_killed_run_unpacked_is_deleted_by_the_next(tmp_path):
    archive = write_lucchi(tmp_path)
    left = tmp_path / ".out.99-0.partial"
    left.mkdir()
    (left / "piece").touch()
    _prepare("lucchi-pp", tmp_path / "out", archive)
    assert not left.exists()


def test_repeated_preparation_is_the_same(tmp_path):
    archive = write_lucchi(tmp_path)
    for name in ("a", "b"):
        _prepare("lucchi-pp", tmp_path / name, archive, output_pixel_size=8.0)
    texts = [json.loads((tmp_path / name / "points_15.json").read_text()) for name in ("a", "b")]
    assert texts[0] == texts[1]
    assert zipfile.is_zipfile(archive)


def test_a_disk_that_fills_up_is_told_in_one_line(tmp_path):
    """By the output's name; what was unpacked is gone."""
    need_loop_disks(tmp_path)
    archive = write_lucchi(tmp_path)
    with loop_disk(tmp_path / "disk.img", tmp_path / "small") as disk:
        (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free - 40_000))
        with pytest.raises(MendableError, match=r"small/out: cannot be written \(No space left"):
            _prepare("lucchi-pp", disk / "out", archive)
        assert {path.name for path in disk.iterdir()} == {"filler", "lost+found"}


def test_archives_with_random_damage_are_refused_or_read(tmp_path):
    random = np.random.default_rng(0)
    sound = write_lucchi(tmp_path).read_bytes()
    damaged, refused = tmp_path / "damaged.zip", 0
    for _ in range(30):
        content = bytearray(sound)
        first = 0 if random.random() < 0.5 else len(content) - 1200  # there the archive's directory lies
        for place in random.integers(first, len(content), random.choice([1, 3, 20])):
            content[place] = random.integers(256)
        damaged.write_bytes(content)
        try:
            _prepare("lucchi-pp", tmp_path / "out", damaged, overwrite=True)
        except MendableError as error:
            refused += 1
            assert "\n" not in str(error) and ".partial" not in str(error)
    assert refused > 15
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
