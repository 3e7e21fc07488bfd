import numpy as np
import pytest
from PIL import Image

from bundle.data.image_files import is_image, read_header, stem
from bundle.errors import DataError


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/b.png", "b"),
        ("b.nii.gz", "b"),
        ("b.NII.GZ", "b"),
        ("b.c.tif", "b.c"),
        ("b.txt", "b.txt"),
        ("b", "b"),
    ],
)
def test_a_stem_is_the_name_without_the_suffix_of_an_image(path, name):
    assert stem(path) == name


def test_what_is_an_image_goes_by_the_suffix():
    assert all(map(is_image, ("a.png", "a.TIFF", "a.nii.gz", "a.mhd")))
    assert not any(map(is_image, ("a.gz", "a.jpg", "png", "a.png.bak")))


def test_the_header_says_width_before_height(tmp_path):
    Image.fromarray(np.zeros((5, 9), np.uint8)).save(tmp_path / "a.png")
    header = read_header(tmp_path / "a.png")
    assert (header.size, header.sections, header.channels) == ((9, 5), 1, 1)


def test_a_resolution_for_printers_is_no_pixel_size(tmp_path):
    Image.fromarray(np.zeros((5, 9), np.uint8)).save(tmp_path / "a.png", dpi=(72, 72))
    assert read_header(tmp_path / "a.png").pixel_size is None


def test_a_name_that_is_no_image(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(DataError, match=r"a\.txt: not one of the image formats"):
        read_header(tmp_path / "a.txt")
