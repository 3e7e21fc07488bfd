"""Small images of 16 by 12 pixels in every format and layout that is read, and the words of their headers."""

from __future__ import annotations

import gzip
import io
import struct
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import mrcfile
import nibabel
import numpy as np
import tifffile
from PIL import Image

from scripts.fuzzing.seeds import Seed, gzipped, header_and_data, plain, png_seed

WIDTH, HEIGHT = 16, 12
SECRET_FILE = "secret.raw"
"""Lies beside the folder of the images; nothing in there may be served."""

SIZES = (
    b"0 0|-1 -1|16 12|16 12 1|1 1|16|65536 65536|2147483647 2147483647|4294967296 4294967296|99999 99999 99999"
).split(b"|")
OUTSIDE = (b"../" + SECRET_FILE.encode(), b"../../" + SECRET_FILE.encode(), b"/etc/passwd", b"/dev/zero", b"/dev/stdin")
PATTERNS = b"em%03d.raw 0 0 0|em%03d.raw 1 2 0|em%d.raw 1 9 -1|%s%s%n.raw 1 2 1|em%999999999d.raw 1 2 1".split(b"|")
NRRD_FIELDS = (
    b"data file: |datafile: |encoding: gzip|encoding: raw|encoding: ascii|encoding: hex|encoding: bzip2|endian: big|"
    b"type: uint8|type: float|type: double|type: int64|type: block|block size: 4|dimension: 2|dimension: 3|"
    b"dimension: 16|dimension: 0|sizes: |spacings: |line skip: |byte skip: |byte skip: -1|line skip: 99999999|"
    b"space: left-posterior-superior|space dimension: 2|space directions: (1,0) (0,1)|space directions: none none|"
    b"space origin: (nan,0)|kinds: domain domain|kinds: RGB-color domain|data file: LIST|data file: em.raw|"
    b"data file: ../secret.raw|data file: em%03d.raw 0 0 0|content: %s%n|old min: nan|key:=value"
).split(b"|")
META_FIELDS = (
    b"ElementDataFile = |ElementDataFile = LOCAL|ElementDataFile = LIST|ElementDataFile = LIST 2|"
    b"ElementDataFile = em.raw|ElementDataFile = x%03d.raw 0 0 0|ElementDataFile = em%03d.raw 1 2 1|NDims = 0|"
    b"NDims = 1|NDims = 2|NDims = 3|NDims = 10|NDims = -1|NDims = 99999|DimSize = |ElementType = MET_UCHAR|"
    b"ElementType = MET_FLOAT|ElementType = MET_DOUBLE|ElementType = MET_STRING|ElementType = MET_NONE|"
    b"ElementType = MET_USHORT_ARRAY|ElementNumberOfChannels = |ElementNumberOfChannels = 0|"
    b"ElementNumberOfChannels = 99999999|HeaderSize = -1|HeaderSize = 999999999|HeaderSize = |CompressedData = True|"
    b"CompressedDataSize = |CompressedDataSize = 0|BinaryData = False|BinaryDataByteOrderMSB = True|"
    b"ObjectType = Image|ObjectType = Tube|TransformMatrix = 0 0 0 0|ElementSpacing = nan nan|ElementSpacing = 0 0|"
    b"Modality = MET_MOD_CT|ObjectSubType = %s"
).split(b"|")
TEXT_TOKENS = (*SIZES, *OUTSIDE, *PATTERNS)


def fields(name: bytes, *values: Sequence[bytes]) -> list[bytes]:
    """Lines of a header, one for each value."""
    return [name + value for listed in values for value in listed]


TIFF_WORDS = """49492a00 4d4d002a 49492b00 0001 0101 0201 0301 0601 1101 1501 1601 1701 1a01 1c01 3d01 4001 4201 4301
4401 4501 5301 e580 0e01 1a01 1b01 2801 3d010300010000000300 e580030001000000ffff
00010300 02010300 03010300010000000500 030103000100000007000000 0301030001000000b2800000
ffffffff ffffff7f 00000080"""
"""Byte orders, tags, tags with types, compressions, in hexadecimal digits."""

TIFF_TEXTS = (
    b"ImageJ=1.11a\n|unit=um\n|unit=\\u00B5m\n|unit=%s\n|images=99999999\n|slices=99999\n|hyperstack=true\n|<OME |"
    b"<OME><Pixels |PhysicalSizeX=|PhysicalSizeX='nan'|PhysicalSizeX='1e999'|PhysicalSizeXUnit='nm'|"
    b"PhysicalSizeYUnit='|<!DOCTYPE a [<!ENTITY b 'c'>]>|&b;|&#0;|FileName='../secret.raw'|</Pixels>"
).split(b"|")
MRC_NUMBERS = (0, 1, 2, 3, 4, 6, 12, 101, -1, 80, 1024, 65536, 2**31 - 1, -(2**31), 1146047817)
"""Modes, lengths, and IMOD's stamp."""

TOKENS: dict[str, tuple[bytes, ...]] = {
    "png": (
        b"IHDR",
        b"IDAT",
        b"PLTE",
        b"tRNS",
        b"iCCP",
        b"zTXt",
        b"pHYs",
        b"gAMA",
        b"acTL",
        b"fcTL",
        b"IEND",
        b"\x89PNG",
    ),
    "tiff": (*(bytes.fromhex(word) for word in TIFF_WORDS.split()), *TIFF_TEXTS),
    "mrc": (b"MAP ", b"\x44\x44\0\0", b"\x11\x11\0\0", *(struct.pack("<i", n) for n in MRC_NUMBERS)),
    "nrrd": (*NRRD_FIELDS, *fields(b"data file: ", OUTSIDE * 3, PATTERNS), *fields(b"sizes: ", SIZES), *TEXT_TOKENS),
    "mha": (
        *META_FIELDS,
        *fields(b"ElementDataFile = ", OUTSIDE * 3, PATTERNS),
        *fields(b"DimSize = ", SIZES),
        *TEXT_TOKENS,
    ),
    "nifti": (b"n+1\x00", b"ni1\x00", b"n+2\x00", bytes.fromhex("5c010000"), bytes.fromhex("1c020000"), b"\x08\x07"),
}


def image_seeds(kind: str) -> list[Seed]:
    """Sound images of one format.

    Args:
        kind: ``png``, ``tiff``, ``mrc``, ``nrrd``, ``mha`` or ``nifti``.
    """
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    gray = (40 + 10 * x + 3 * y).astype(np.uint8)
    makers = {"png": _png, "tiff": _tiff, "mrc": _mrc, "nrrd": _nrrd, "mha": _meta, "nifti": _nifti}
    return makers[kind](gray)


def _pillow(image: Any, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format=kind, **options)
    return out.getvalue()


def _png(gray: np.ndarray) -> list[Seed]:
    deep = Image.fromarray(gray.astype(np.uint16) * 257)
    images = [
        Image.fromarray(gray),
        deep,
        Image.fromarray(np.stack([gray] * 3, -1)),
        Image.fromarray(gray).convert("P"),
    ]
    images += [Image.fromarray(gray > 100), Image.fromarray(gray).convert("LA")]
    return [png_seed("em.png", _pillow(image, "PNG")) for image in images]


def _tiff(gray: np.ndarray) -> list[Seed]:
    def written(array: np.ndarray, **options: Any) -> bytes:
        out = io.BytesIO()
        tifffile.imwrite(out, array, **options)
        return out.getvalue()

    small, real = Image.fromarray(gray), gray.astype(np.float32) / 7
    contents = [_pillow(small, "TIFF"), _pillow(small, "TIFF", compression="tiff_lzw")]
    contents += [
        _pillow(small, "TIFF", compression="tiff_adobe_deflate"),
        _pillow(small, "TIFF", compression="packbits"),
    ]
    contents += [_pillow(small, "TIFF", big_tiff=True), _pillow(Image.fromarray(real), "TIFF")]
    contents += [
        written(gray, tile=(16, 16)),
        written(gray.astype(np.uint16), byteorder=">"),
        written(np.stack([gray] * 2)),
    ]
    contents += [written(gray, bigtiff=True, rowsperstrip=4), written(np.stack([gray] * 3, -1), photometric="rgb")]
    nanometres = {"PhysicalSizeX": 8.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 8.0, "PhysicalSizeYUnit": "nm"}
    same = {"UUID": "urn:uuid:1"}
    contents += [
        written(gray, imagej=True, resolution=(125, 125), metadata={"unit": "um"}),
        written(gray, ome=True, tile=(16, 16), compression="zlib", metadata={**nanometres, **same}),
        written(
            np.stack([gray] * 2).astype(np.float64), bigtiff=True, tile=(16, 16), compression="zlib", predictor=False
        ),
        written(gray.astype(np.uint16), compression="zlib", predictor=True, rowsperstrip=5, photometric="miniswhite"),
    ]
    return [plain("em.tif", content) for content in contents]


def _mrc(gray: np.ndarray) -> list[Seed]:
    def written(array: np.ndarray, order: Literal["<", ">"] = "<", **fields: Any) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "em.mrc"
            with mrcfile.new(path) as file:
                file.set_data(array.astype(array.dtype.newbyteorder(order)))
                file.voxel_size = 80.0
                file.header.label = b""  # it has the time
                for name, value in fields.items():
                    file.header[name] = value
            return path.read_bytes()

    imod = bytearray(84)
    imod[40:48] = struct.pack("<2i", 1146047817, 0)
    dark = (gray // 2).astype(np.int8)
    contents = [written(dark), written(dark, extra2=np.void(bytes(imod))), written(gray.astype(np.int16))]
    contents += [
        written(gray.astype(np.uint16), ">"),
        written(gray.astype(np.float32)),
        written(gray.astype(np.float16)),
    ]
    contents += [written(np.stack([dark] * 3)), written(dark, mx=0)]
    extended = bytearray(contents[0])
    extended[92:96] = struct.pack("<i", 128)
    return [plain("em.mrc", content) for content in (*contents, bytes(extended[:1024] + bytes(128) + extended[1024:]))]


def _nrrd(gray: np.ndarray) -> list[Seed]:
    def header(encoding: str, kind: str = "uint8", more: str = "") -> bytes:
        lines = f"NRRD0004\ntype: {kind}\ndimension: 2\nsizes: {WIDTH} {HEIGHT}\nencoding: {encoding}\nendian: little\n"
        return f"{lines}space dimension: 2\nspace directions: (5e-06,0) (0,5e-06)\n{more}\n".encode()

    def pack(data: bytes) -> bytes:
        return gzip.compress(data, 1, mtime=0)

    detached = header("raw", more="data file: em.raw\n").removesuffix(b"\n")
    return [
        header_and_data("em.nrrd", header("raw"), gray.tobytes()),
        header_and_data("em.nrrd", header("gzip"), gray.tobytes(), pack),
        header_and_data("em.nrrd", header("gzip", "uint16"), gray.astype(np.uint16).tobytes(), pack),
        header_and_data("em.nrrd", header("raw", "float"), gray.astype(np.float32).tobytes()),
        header_and_data("em.nrrd", header("ascii"), " ".join(map(str, gray.ravel())).encode()),
        header_and_data("em.nrrd", detached, gray.tobytes(), data_file="em.raw"),
        header_and_data(
            "em.nrrd", header("gzip", more="data file: em.raw.gz\n").strip() + b"\n", gray.tobytes(), pack, "em.raw.gz"
        ),
    ]


def _meta(gray: np.ndarray) -> list[Seed]:
    data = gray.tobytes()

    def header(file: str = "LOCAL", kind: str = "UCHAR", more: str = "", sizes: str = f"{WIDTH} {HEIGHT}") -> bytes:
        lines = f"ObjectType = Image\nNDims = {len(sizes.split())}\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
        lines += f"{more}ElementSpacing = {' '.join('5e-06' for _ in sizes.split())}\nDimSize = {sizes}\n"
        return f"{lines}ElementType = MET_{kind}\nElementDataFile = {file}\n".encode()

    packed = f"CompressedData = True\nCompressedDataSize = {len(zlib.compress(data))}\n"
    return [
        header_and_data("em.mha", header(), data),
        header_and_data("em.mha", header(more=packed), data, zlib.compress),
        header_and_data("em.mha", header(kind="FLOAT"), gray.astype(np.float32).tobytes()),
        header_and_data("em.mha", header(sizes=f"{WIDTH} {HEIGHT} 1"), data),
        header_and_data("em.mhd", header("em.raw"), data, data_file="em.raw"),
        header_and_data("em.mhd", header("em.zraw", more=packed), data, zlib.compress, "em.zraw"),
        header_and_data("em.mhd", header("LIST", sizes=f"{WIDTH} {HEIGHT} 1") + b"em.raw\n", data, data_file="em.raw"),
        header_and_data("em.mhd", header("em%03d.raw 1 1 1", sizes=f"{WIDTH} {HEIGHT} 1"), data, data_file="em001.raw"),
    ]


def _nifti(gray: np.ndarray) -> list[Seed]:
    affine = np.diag([5e-6, 5e-6, 1, 1])
    images: list[Any] = [nibabel.Nifti1Image(gray.T, affine), nibabel.Nifti1Image(gray.T[..., None], affine)]
    images += [nibabel.Nifti1Image(gray.T.astype(np.float32), affine), nibabel.Nifti2Image(gray.T, affine)]
    scaled = nibabel.Nifti1Image(gray.T.astype(np.int16), affine)
    scaled.header.set_slope_inter(0.5, 3)
    contents = [image.to_bytes() for image in (*images, scaled)]
    return [*(plain("em.nii", content) for content in contents), *(gzipped("em.nii.gz", c) for c in contents[:3])]
