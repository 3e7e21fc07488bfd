import numpy as np
import pytest
from monai.transforms import LoadImage
from PIL import Image

from bundle.data.image_files import opened_sections, section_reader
from tests.image_writers import write_mrc, write_tiled_bigtiff

ROWS = np.arange(12 * 20, dtype=np.uint8).reshape(12, 20) // 2


def test_monai_loads_with_the_reader_of_the_format(tmp_path):
    for path in (
        write_mrc(tmp_path / "a.mrc", ROWS.astype(np.int16), 8.0),
        write_tiled_bigtiff(tmp_path / "a.tif", ROWS, 8),
    ):
        image = LoadImage(reader=section_reader(path), image_only=True, ensure_channel_first=True)(path)
        assert image.shape == (1, 20, 12) and image.meta["filename_or_obj"] == str(path)
        np.testing.assert_array_equal(image[0].numpy().T, ROWS)
    assert section_reader("a.png") is None and section_reader("a.nrrd") is None


def test_one_section_is_in_memory_at_a_time(tmp_path, monkeypatch):
    """Reading the first of many is not reading them all."""
    stack = np.stack([np.full((12, 20), z, np.uint16) for z in range(50)])
    path = write_mrc(tmp_path / "a.mrc", stack, 8.0)
    sizes = []
    read = np.fromfile
    monkeypatch.setattr(np, "fromfile", lambda *args, **more: sizes.append(args[2]) or read(*args, **more))
    with opened_sections(path) as sections:
        assert sections.read(49).max() == 49 and sections.count == 50
    assert sizes == [12 * 20]


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sections_of_a_plain_image(tmp_path, name):
    Image.fromarray(ROWS).save(tmp_path / name)
    with opened_sections(tmp_path / name) as sections:
        (only,) = list(sections)
    np.testing.assert_array_equal(only.T, ROWS)
