import struct

import mrcfile
import numpy as np
import pytest

from bundle.data.image_files import read_header, read_image
from bundle.data.mrc_files import mrc_geometry
from bundle.data.mrc_files import write_mrc as write_result
from bundle.errors import DataError
from bundle.transforms import LoadGrayImaged
from tests.image_writers import write_mrc

ROWS = np.random.default_rng(0).integers(0, 127, (50, 70)).astype(np.int8)


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.uint16, np.float16, np.float32], ids=str)
@pytest.mark.parametrize("order", ["<", ">"])
def test_each_mode_is_read_and_its_voxel_size_kept(tmp_path, kind, order):
    rows = ROWS.astype(np.dtype(kind).newbyteorder(order))
    path = write_mrc(tmp_path / "a.mrc", rows, 8.0)
    header = read_header(path)
    assert (header.size, header.sections, header.pixel_size) == ((70, 50), 1, 8.0)
    found = read_image(path)[..., 0].T
    np.testing.assert_array_equal(found, rows)
    assert found.dtype == kind
    np.testing.assert_array_equal(LoadGrayImaged()({"image": str(path)})["image"].numpy().T, rows.astype(np.float32))
    with mrcfile.open(path, "r+") as file:
        file.header.origin = (1, 2, 3)
        file.header.nxstart = 5
    for result in (ROWS.astype(np.uint8) // 126, ROWS.astype(np.uint16) * 500, ROWS.astype(np.float32) / 7):
        write_result(tmp_path / "b.mrc", result.T, mrc_geometry(path))
        with mrcfile.open(tmp_path / "b.mrc") as file:
            np.testing.assert_array_equal(file.data, result)
            assert file.voxel_size.tolist() == (80, 80, 80)
            assert file.header.origin.tolist() == (1, 2, 3) and file.header.nxstart == 5
        assert mrcfile.validate(tmp_path / "b.mrc")


@pytest.mark.parametrize("nm", [None, 0.1])
def test_no_voxel_size_and_one_angstrom_tell_nothing(tmp_path, nm):
    """IMOD writes 1 angstrom where it knows none."""
    assert read_header(write_mrc(tmp_path / "a.mrc", ROWS, nm)).pixel_size is None


def test_bytes_of_older_imod_are_without_sign(tmp_path):
    path = write_mrc(tmp_path / "a.mrc", ROWS, 8.0)
    content = bytearray(path.read_bytes())
    content[1024:] = (ROWS.astype(np.uint8) + 100).tobytes()
    for flags, added in ((0, 100), (1, 100 - 256)):
        content[152:160] = struct.pack("<2i", 1146047817, flags)
        path.write_bytes(content)
        found = read_image(path)[..., 0].T
        assert found[ROWS > 27].astype(int).tolist() == (ROWS[ROWS > 27].astype(int) + added).tolist()


def test_sections_of_a_tomogram_are_read_one_by_one(tmp_path):
    stack = np.stack([ROWS, ROWS // 2, ROWS // 3])
    path = write_mrc(tmp_path / "a.rec", stack, 1.2)
    assert (read_header(path).sections, read_header(path).pixel_size) == (3, 1.2)
    np.testing.assert_array_equal(np.moveaxis(read_image(path), 2, 0).swapaxes(1, 2), stack)


def test_an_extended_header_is_skipped(tmp_path):
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(ROWS)
        file.set_extended_header(np.zeros(200, "V1"))
    np.testing.assert_array_equal(read_image(tmp_path / "a.mrc")[..., 0].T, ROWS)


@pytest.mark.parametrize(
    ("at", "value", "text"),
    [
        (0, -1, "expected lengths"),
        (0, 70_000, "it is truncated"),
        (8, 2**31 - 1, "it is truncated"),
        (12, 4, "mode 4"),
        (12, 101, "mode 101"),
        (64, 2, "axes"),
        (92, -1, "extended header"),
        (92, 10**9, "extended header"),
        (208, 0, "not MRC"),
        (212, 0, "not MRC"),
    ],
)
def test_headers_that_lie_are_refused(tmp_path, at, value, text):
    path = write_mrc(tmp_path / "a.mrc", ROWS, 8.0)
    content = bytearray(path.read_bytes())
    content[at : at + 4] = struct.pack("<i", value)
    path.write_bytes(content)
    for read in (read_header, read_image):
        with pytest.raises(DataError, match=text):
            read(path)
