"""Image files that lie about themselves are refused in plain Python, before a C library opens them."""

import os
import struct
import subprocess
import sys
import zlib

import pytest

from bundle.data.image_files import read_header, read_image
from bundle.errors import LONGEST, DataError
from bundle.transforms import LoadGrayImaged
from tests.integration.commands import ROOT

MHA = {
    "ObjectType": "Image",
    "NDims": "2",
    "BinaryData": "True",
    "DimSize": "4 3",
    "ElementSpacing": "1 1",
    "ElementType": "MET_UCHAR",
    "ElementDataFile": "LOCAL",
}
NRRD = {"type": "uchar", "dimension": "2", "sizes": "4 3", "encoding": "raw"}
PIXELS = bytes(range(12))


def metaimage(path, pixels=PIXELS, **changes):
    lines = [f"{key} = {value}" for key, value in {**MHA, **changes}.items() if key != "ElementDataFile"]
    last = f"ElementDataFile = {changes.get('ElementDataFile', 'LOCAL')}"
    path.write_bytes("\n".join([*lines, last, ""]).encode() + pixels)
    return path


def nrrd(path, pixels=PIXELS, **changes):
    fields = {**NRRD, **{key.replace("_", " "): value for key, value in changes.items()}}
    path.write_bytes("\n".join(["NRRD0004", *(f"{k}: {v}" for k, v in fields.items()), "", ""]).encode() + pixels)
    return path


def png(path, width, height, pixels):
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", pixels), (b"IEND", b"")]
    chunks = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


def refused(path, text):
    for read in (read_header, read_image, lambda p: LoadGrayImaged()({"image": str(p)})):
        with pytest.raises(DataError) as caught:
            read(path)
        assert text in str(caught.value) and path.name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"NDims": "0"}, "NDims is 0"),
        ({"NDims": "4096"}, "NDims is 4096"),
        ({"NDims": "-15"}, "NDims is '-15'"),
        ({"DimSize": "4"}, "DimSize is '4'; expected 2"),
        ({"DimSize": "100000 100000"}, "it is truncated"),
        ({"ElementNumberOfChannels": "0"}, "0 channels"),
        ({"ElementType": "MET_NONE"}, "ElementType"),
        ({"Offset": "0"}, "Offset is '0'"),
        ({"HeaderSize": "7"}, "HeaderSize"),
        ({"BinaryData": "False"}, "its pixels are text"),
        ({"ElementDataFile": "/etc/passwd"}, "lie in another file"),
        ({"ElementDataFile": "x%03d.raw 0 0 0"}, "lie in another file"),
        ({"ElementDataFile": "LIST"}, "lie in another file"),
    ],
)
def test_metaimage_that_kills_or_reads_other_files(tmp_path, changes, text):
    refused(metaimage(tmp_path / "a.mha", **changes), text)


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../b.raw", "x%03d.raw 0 0 0", "x%03d.raw 1 3 1", "LIST", "LIST 2D", "a.txt", "c\\b.raw"]
)
def test_pixels_of_an_mhd_lie_beside_it(tmp_path, name):
    refused(metaimage(tmp_path / "a.mhd", b"", ElementDataFile=name), "beside it")


def test_an_mhd_with_its_pixels_beside_it_is_read(tmp_path):
    (tmp_path / "b.raw").write_bytes(PIXELS)
    path = metaimage(tmp_path / "a.mhd", b"", ElementDataFile="b.raw")
    assert read_image(path)[..., 0].T.ravel().tolist() == list(PIXELS)
    (tmp_path / "b.raw").rename(tmp_path / "other")
    refused(path, "'b.raw' is not there")
    (tmp_path / "b.raw").symlink_to("other")
    refused(path, "is a link")
    (tmp_path / "b.raw").unlink()
    (tmp_path / "b.raw").write_bytes(PIXELS[:5])
    refused(path, "it is truncated")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"data_file": "/etc/passwd"}, "lie in another file"),
        ({"datafile": "LIST"}, "lie in another file"),
        ({"sizes": "100000 100000"}, "it is truncated"),
        ({"dimension": "16"}, "dimension is 16"),
        ({"byte_skip": "-1"}, "'byte skip: -1'"),
        ({"encoding": "hex"}, "encoding is 'hex'"),
        ({"type": "block"}, "type is 'block'"),
    ],
)
def test_nrrd_that_reads_other_files_or_lies(tmp_path, changes, text):
    refused(nrrd(tmp_path / "a.nrrd", **changes), text)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    packed = zlib.compress(bytes(9000 * 9001), 9)
    path = png(tmp_path / "bomb.png", 9000, 9000, packed)
    refused(path, "81000000 samples, compressed 10")
    refused(png(tmp_path / "lie.png", 30000, 30000, b"x" * 5000), "it is truncated")
    monkeypatch.setenv("PREFER_DAS_MAX_SAMPLES", "81000000")
    assert read_header(path).size == (9000, 9000)


def test_a_large_section_of_the_usual_density_is_read(tmp_path):
    path = nrrd(tmp_path / "large.nrrd", b"", sizes="32768 32768")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + 32768 * 32768)
    assert read_header(path).size == (32768, 32768)
    path = nrrd(tmp_path / "larger.nrrd", b"", sizes="32769 32768")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + 32769 * 32768)
    refused(path, "PREFER_DAS_MAX_SAMPLES=1073774592")


@pytest.mark.parametrize("name", ["a.png", "a.nrrd", "a.mha", "a.tif", "a.nii", "a.nii.gz"])
def test_a_fifo_blocks_nobody(tmp_path, name):
    os.mkfifo(tmp_path / name)
    refused(tmp_path / name, "is no regular file")


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "x" * 70_000 + ".png", "x" * 70_000])
def test_a_name_that_no_file_can_have(tmp_path, name):
    with pytest.raises(DataError, match=r"xx.*: cannot be read \(File name too long\)") as error:
        read_header(tmp_path / name)
    assert len(str(error.value)) <= LONGEST


@pytest.mark.parametrize("name", ["a.png", "a.nrrd", "a.mha", "a.tif", "a.nii", "a.nii.gz"])
def test_content_of_another_kind(tmp_path, name):
    (tmp_path / name).write_bytes(b"root:x:0:0:" * 60)
    refused(tmp_path / name, "cannot be read as an image")


FUZZ = """
import sys, numpy as np, itk, nibabel
from pathlib import Path
from bundle.data.image_files import read_header, read_image
from bundle.errors import DataError
from bundle.transforms import LoadGrayImaged
itk.Object.SetGlobalWarningDisplay(False)
folder, random, load = Path(sys.argv[1]), np.random.default_rng(0), LoadGrayImaged()
rows = random.integers(0, 255, (12, 16)).astype(np.uint8)
for suffix in (".png", ".tif", ".nrrd", ".mha", ".nii", ".nii.gz"):
    path = folder / f"seed{suffix}"
    itk.imwrite(itk.image_from_array(rows), str(path), compression=suffix in (".tif", ".mha"))
    whole = path.read_bytes()
    for number in range(100):
        data = bytearray(whole)
        for _ in range(random.integers(1, 6)):
            at = random.integers(min(400, len(data)))
            data[at : at + 1] = [b"\\0", b"\\xff", b"9", b"-", bytes([random.integers(256)])][random.integers(5)]
        mutant = folder / f"m{suffix}"
        mutant.write_bytes(data[: random.integers(1, len(data))] if number % 5 == 0 else data)
        for read in (read_header, read_image, lambda p: load({"image": str(p)})):
            try:
                read(mutant)
            except DataError as error:
                assert str(error).isprintable() or "\\n" not in str(error), error
print("alive")
"""


def test_damaged_files_give_an_image_or_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FUZZ, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.strip() == "alive", done.stderr[-2000:]
