import logging

import numpy as np
import pytest
from PIL import Image

from bundle.data.input_files import find_input_files
from bundle.errors import DataError


def picture(path, width=6, height=4):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.zeros((height, width), np.uint8)).save(path)
    return path


def test_images_of_a_folder_come_in_natural_order(tmp_path, caplog):
    for name in ("10.png", "2.png", "1.tif", ".hidden.png"):
        picture(tmp_path / "images" / name)
    (tmp_path / "images" / "notes.txt").write_text("hello")
    with caplog.at_level(logging.WARNING):
        found = find_input_files([tmp_path / "images"])
    assert [source.image.name for source in found] == ["1.tif", "2.png", "10.png"]
    assert all(source.label is None for source in found)
    assert "notes.txt: left out" in caplog.text and "hidden" not in caplog.text


def test_masks_pair_by_stem(tmp_path):
    images = [picture(tmp_path / "images" / f"{n}.png") for n in (1, 2)]
    for n in (2, 1):
        picture(tmp_path / "labels" / f"{n}.tif")
    assert [(s.image, s.label.name) for s in find_input_files(images, [tmp_path / "labels"])] == [
        (images[0], "1.tif"),
        (images[1], "2.tif"),
    ]


def test_one_image_and_one_mask_pair_whatever_their_names(tmp_path):
    (found,) = find_input_files([picture(tmp_path / "a.png")], [picture(tmp_path / "b.png")])
    assert found.label.name == "b.png"


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (("1.png",), r"2\.png: no mask has the stem '2'"),
        (("1.png", "2.png", "3.png"), r"3\.png: no image has the stem '3'"),
        (("1.png", "1.tif", "2.png"), r"1\.(png|tif): has the same stem as"),
    ],
)
def test_masks_that_do_not_pair(tmp_path, labels, text):
    for n in (1, 2):
        picture(tmp_path / "images" / f"{n}.png")
    for name in labels:
        picture(tmp_path / "labels" / name)
    with pytest.raises(DataError, match=text):
        find_input_files([tmp_path / "images"], [tmp_path / "labels"])


def test_a_mask_has_the_size_of_its_image(tmp_path):
    image, label = picture(tmp_path / "a.png"), picture(tmp_path / "b.png", width=5)
    with pytest.raises(DataError, match=r"b\.png: has size \(5, 4, 1\).*\(6, 4, 1\)"):
        find_input_files([image], [label])


def test_a_folder_without_images(tmp_path):
    with pytest.raises(DataError, match="holds no images"):
        find_input_files([tmp_path])
