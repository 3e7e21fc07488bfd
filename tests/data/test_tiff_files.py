import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from bundle.data.image_files import read_header, read_image
from bundle.data.tiff_files import tiff_calibration, write_tiff
from bundle.errors import DataError
from bundle.transforms import LoadGrayImaged
from tests.image_writers import lzw_tiles, write_fiji, write_ome, write_tiled_bigtiff

ROWS = np.random.default_rng(0).integers(0, 250, (50, 70)).astype(np.uint8)
DEEP = ROWS.astype(np.uint16) * 257
"""Rows and columns, not a square."""
WRITERS = {
    "um": lambda path, rows: write_fiji(path, rows, 8.0, "um"),
    "escaped um": lambda path, rows: write_fiji(path, rows, 8.0, "\\u00B5m"),
    "micron": lambda path, rows: write_fiji(path, rows, 8.0, "micron"),
    "nm": lambda path, rows: write_fiji(path, rows, 8.0, "nm"),
    "OME nm": lambda path, rows: write_ome(path, rows, 8.0, "nm"),
    "OME um": lambda path, rows: write_ome(path, rows, 8.0, "µm", tile=(16, 16), compression="zlib"),
    "OME angstrom": lambda path, rows: write_ome(path, rows, 8.0, "Å"),
    "tiles": lambda path, rows: write_tiled_bigtiff(path, rows, 8.0),
}


def written(path, rows, **options):
    tifffile.imwrite(path, rows, **{"metadata": None, "photometric": "minisblack", **options})
    return path


@pytest.mark.parametrize("writer", WRITERS)
def test_each_form_of_calibration_is_read_and_kept(tmp_path, writer):
    path = WRITERS[writer](tmp_path / "a.tif", DEEP)
    assert read_header(path).pixel_size == 8.0
    np.testing.assert_array_equal(read_image(path)[..., 0].T, DEEP)
    for rows in (ROWS // 250, DEEP, DEEP.astype(np.float32) / 7):
        write_tiff(tmp_path / "b.tif", rows.T, tiff_calibration(path))
        header = read_header(tmp_path / "b.tif")
        assert (header.pixel_size, header.size) == (8.0, (70, 50))
        with tifffile.TiffFile(tmp_path / "b.tif") as file, tifffile.TiffFile(path) as like:
            np.testing.assert_array_equal(file.asarray(), rows)
            assert (file.is_imagej, file.is_ome) == (like.is_imagej, like.is_ome)
            if like.is_imagej:
                assert file.imagej_metadata["unit"] == like.imagej_metadata["unit"]
                assert file.pages[0].resolution == like.pages[0].resolution


@pytest.mark.parametrize("unit", ["pixel", "inch", "furlong"])
def test_units_that_tell_nothing(tmp_path, unit):
    assert read_header(write_fiji(tmp_path / "a.tif", ROWS, 72.0, unit)).pixel_size is None


def test_no_calibration_stays_none(tmp_path):
    path = written(tmp_path / "a.tif", ROWS)
    write_tiff(tmp_path / "b.tif", ROWS.T, tiff_calibration(path))
    assert read_header(path).pixel_size is None and read_header(tmp_path / "b.tif").pixel_size is None
    write_tiff(tmp_path / "b.tif", ROWS.T, tiff_calibration(8.0))
    assert read_header(tmp_path / "b.tif").pixel_size == 8.0


def test_pixels_that_are_no_squares_have_no_size(tmp_path):
    path = written(tmp_path / "a.tif", ROWS, resolution=(1e6, 2e6), resolutionunit="CENTIMETER")
    assert read_header(path).pixel_size is None


@pytest.mark.parametrize(
    "kind", [np.int8, np.int16, np.uint16, np.uint32, np.int32, np.float16, np.float32, np.float64], ids=str
)
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"byteorder": ">"}, {"rowsperstrip": 7}], ids=str)
def test_types_and_layouts(tmp_path, kind, options):
    rows = (ROWS // 2).astype(kind)
    found = read_image(written(tmp_path / "a.tif", rows, **options))[..., 0].T
    np.testing.assert_array_equal(found, rows)
    assert found.dtype == kind


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32, np.int32], ids=str)
@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate"])
def test_what_pillow_compresses(tmp_path, kind, compression):
    rows = ROWS.astype(kind)
    Image.fromarray(rows).save(tmp_path / "a.tif", compression=compression)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[..., 0].T, rows)


@pytest.mark.parametrize(
    ("rows", "byteorder"),
    [(ROWS, "<"), (DEEP + 1, "<"), (DEEP.astype(np.float32) / 7, "<"), (ROWS, ">"), (DEEP + 1, ">")],
    ids=["8", "16", "float", "8 big", "16 big"],
)
def test_tiles_of_lzw(tmp_path, rows, byteorder):
    path = lzw_tiles(tmp_path / "a.tif", rows, byteorder)
    with tifffile.TiffFile(path) as file:
        assert file.pages[0].is_tiled and file.pages[0].compression == 5
    np.testing.assert_array_equal(read_image(path)[..., 0].T, rows)


def test_what_pillow_reads_wrongly_is_refused(tmp_path):
    path = lzw_tiles(tmp_path / "a.tif", DEEP.astype(np.float32) / 7, ">")
    with pytest.raises(DataError, match=r"a\.tif: .*big-endian samples of 32 bits"):
        read_image(path)


def test_pillow_has_no_limit_of_its_own(tmp_path, monkeypatch):
    Image.fromarray(DEEP).save(tmp_path / "a.tif", compression="tiff_lzw")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[..., 0].T, DEEP)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_white_at_0_is_turned(tmp_path):
    for rows, white in ((ROWS, 255), (DEEP, 65535)):
        path = written(tmp_path / "a.tif", rows, photometric="miniswhite")
        np.testing.assert_array_equal(read_image(path)[..., 0].T, white - rows)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colours_that_are_gray(tmp_path, planar):
    colours = np.stack([ROWS] * 3, 0 if planar == "separate" else -1)
    path = written(tmp_path / "a.tif", colours, photometric="rgb", planarconfig=planar)
    np.testing.assert_array_equal(read_image(path)[..., 0].T, ROWS)
    np.testing.assert_array_equal(LoadGrayImaged()({"image": str(path)})["image"].numpy().T, ROWS)
    colours = colours.copy()
    colours[(0, 3, 3) if planar == "separate" else (3, 3, 0)] += 1
    written(path, colours, photometric="rgb", planarconfig=planar)
    for read in (read_image, lambda p: LoadGrayImaged()({"image": str(p)})):
        with pytest.raises(DataError, match=r"a\.tif: is a colour image"):
            read(path)


def test_thumbnails_are_no_sections(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(DEEP, tile=(16, 16), metadata=None)
        file.write(DEEP[::2, ::2], subfiletype=1, metadata=None)
    assert read_header(tmp_path / "a.tif").sections == 1
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[..., 0].T, DEEP)


def test_pages_are_sections(tmp_path):
    stack = np.stack([DEEP, DEEP // 2, DEEP // 3])
    path = written(tmp_path / "a.tif", stack, bigtiff=True, tile=(32, 32), compression="zlib")
    assert read_header(path).sections == 3
    np.testing.assert_array_equal(read_image(path).T, stack)


def test_sections_without_pages_are_not_lost_in_silence(tmp_path):
    """ImageJ writes stacks above 4 GB behind a single page."""
    path = written(tmp_path / "a.tif", DEEP, description="ImageJ=1.54f\nimages=300\nslices=300\n")
    with pytest.raises(DataError, match=r"a\.tif: .*its 300 sections have one page"):
        read_header(path)


def test_a_hyperstack_of_imagej_has_its_sections(tmp_path):
    stack = np.stack([DEEP, DEEP // 2, DEEP // 3])
    options = {"imagej": True, "resolution": (125, 125), "metadata": {"unit": "um", "axes": "ZYX"}}
    tifffile.imwrite(tmp_path / "a.tif", stack, **options)
    assert (read_header(tmp_path / "a.tif").sections, read_header(tmp_path / "a.tif").pixel_size) == (3, 8.0)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").T, stack)


def test_an_ome_file_reads_no_other_file(tmp_path):
    """OME's metadata may say that planes lie in other files."""
    write_ome(tmp_path / "secret.tif", DEEP, 8.0)
    text = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels DimensionOrder="XYCZT" ID="Pixels:0" SizeX="70" SizeY="50" SizeZ="2" SizeC="1" SizeT="1" '
        'Type="uint16" '
        'PhysicalSizeX="8" PhysicalSizeXUnit="nm" PhysicalSizeY="8" PhysicalSizeYUnit="nm"><TiffData IFD="0" '
        'PlaneCount="1" FirstZ="1"><UUID FileName="secret.tif">urn:uuid:1</UUID></TiffData></Pixels></Image></OME>'
    )
    written(tmp_path / "a.tif", np.zeros_like(DEEP), description=text)
    assert read_header(tmp_path / "a.tif").pixel_size == 8.0
    assert read_image(tmp_path / "a.tif").max() == 0


@pytest.mark.parametrize("text", ["<OME><Pixels", "<OME><Image><Pixels PhysicalSizeX='x'/></Image></OME>", "ImageJ="])
def test_a_description_that_is_broken_tells_nothing(tmp_path, text):
    assert read_header(written(tmp_path / "a.tif", ROWS, description=text)).pixel_size is None


def test_a_tile_that_inflates_without_end_is_refused(tmp_path):
    bomb = zlib.compress(bytes(50_000_000), 9)
    kind = {"shape": ROWS.shape, "dtype": ROWS.dtype, "rowsperstrip": 50, "compression": 8}
    tifffile.imwrite(tmp_path / "a.tif", iter([bomb]), **kind, metadata=None, photometric="minisblack")
    with pytest.raises(DataError, match="inflates to more than its 3500 bytes"):
        read_image(tmp_path / "a.tif")


def test_jpeg_is_refused_with_the_reason(tmp_path):
    for name in ("a.tif", "a.jpg"):
        Image.fromarray(ROWS).save(tmp_path / name, **({"compression": "jpeg"} if name == "a.tif" else {}))
        with pytest.raises(
            DataError, match=rf"{name}: .*with loss, as JPEG; its blocks and rings look like structures"
        ):
            read_header(tmp_path / name)
