"""TIFF through tifffile, page by page: strips and tiles, and pixel sizes of OME, ImageJ and resolution tags."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from threading import Lock
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile
from monai.config import PathLike
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from bundle.data.sections import Sections

TIFF_SUFFIXES = (".tif", ".tiff")
NM_PER_UNIT = {
    **dict.fromkeys(("m", "meter", "metre"), 1e9),
    **dict.fromkeys(("cm", "centimeter"), 1e7),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e6),
    **dict.fromkeys(("um", "µm", "micron", "microns", "micrometer", "micrometre"), 1e3),
    **dict.fromkeys(("nm", "nanometer", "nanometre", "nanometers"), 1.0),
    **dict.fromkeys(("å", "a", "angstrom", "ångström", "angstroms"), 0.1),
    **dict.fromkeys(("pm", "picometer"), 1e-3),
    **dict.fromkeys(("inch", "inches", "in"), 2.54e7),
}
"""Units as ImageJ, Fiji and OME write them, in small letters."""
_RESOLUTION_NM = {2: 2.54e7, 3: 1e7}
"""Of the tag ResolutionUnit: inch and centimetre."""
_BY_PILLOW = (5, 32773)
"""LZW and PackBits, which tifffile alone does not decode, or slowly."""
_DEFLATE = (8, 32946)
_FLOATING_PREDICTOR = 3
_PILLOW = Lock()


def tiff_spacing(path: PathLike) -> tuple[float, float]:
    """Nanometres per pixel along x and y, as the first page says; 0 where it says nothing.

    OME's metadata count first, then ImageJ's, then the resolution tags.
    """
    with tifffile.TiffFile(path) as file:
        page = next(_pages(file))
        description = page.description
        imagej = _imagej(description)
        if len(file.pages) == 1 and str(imagej.get("images", 1)) != "1":
            raise ValueError(f"its {imagej['images']} sections have one page, as ImageJ writes above 4 GB; save fewer")
        per_pixel = _ome_spacing(description)
        if per_pixel is None:
            unit = imagej.get("unit")
            nm = None if unit is None else NM_PER_UNIT.get(_plain(unit), 0.0)
            if nm is None:
                nm = _RESOLUTION_NM.get(_number(page, "ResolutionUnit", 2), 0.0)
            per_pixel = (_inverse(page, "XResolution", nm), _inverse(page, "YResolution", nm))
        return per_pixel


@contextmanager
def open_tiff(path: PathLike) -> Iterator[Sections]:
    """Open a TIFF file that passed :func:`bundle.data.image_headers.checked`; its pages are the sections.

    Raises:
        ValueError: when read: a page is another one than was checked, or is stored in a way that is not read.
    """
    with tifffile.TiffFile(path) as file:
        pages = list(_pages(file))

        def read(number: int) -> NDArray[Any]:
            page = pages[number]
            if _kind(page) != _kind(pages[0]):
                raise ValueError(f"page {number} has another size or type of pixels than the first one")
            return _pixels(page, Path(path))

        dtype = np.dtype(np.uint8) if pages[0].dtype == bool else pages[0].dtype.newbyteorder("=")
        yield Sections(dtype, len(pages), pages[0].samplesperpixel, read)


def tiff_calibration(like: PathLike | float | None) -> dict[str, Any]:
    """Options of ``tifffile.imwrite`` that write a pixel size.

    Args:
        like: TIFF file whose calibration is taken over in its own form, OME's, ImageJ's, or resolution tags; or the
            pixel size in nanometres, for resolution tags; None for unknown.
    """
    if like is None:
        return {}
    if isinstance(like, int | float):
        return {"resolution": (1e7 / like, 1e7 / like), "resolutionunit": 3}
    with tifffile.TiffFile(like) as file:
        page = next(_pages(file))
        tags = [page.tags.get(name) for name in ("XResolution", "YResolution")]
        options: dict[str, Any] = {}
        if all(tag is not None and tag.dtype == 5 and tag.count == 1 and min(tag.value) > 0 for tag in tags):
            options["resolution"] = tuple(tag.value for tag in tags)
            options["resolutionunit"] = _number(page, "ResolutionUnit", 2)
        pixels = _ome_pixels(page.description)
        if pixels is not None:
            kept = {name: text for name, text in pixels.items() if name.startswith("PhysicalSize")}
            return {**options, "ome": True, "metadata": {"axes": "YX", **{n: _as_number(t) for n, t in kept.items()}}}
        imagej = _imagej(page.description)
        if imagej:
            unit = {"unit": _escaped(str(imagej["unit"]))} if "unit" in imagej else {}
            return {**options, "imagej": True, "metadata": {"axes": "YX", **unit}}
        return options


def write_tiff(path: PathLike, section: NDArray[Any], calibration: Mapping[str, Any]) -> None:
    """Write one section.

    Args:
        path: the file.
        section: array (X,Y), uint8, uint16 or float32.
        calibration: of :func:`tiff_calibration`.
    """
    options = {"metadata": None, "photometric": "minisblack", "compression": "zlib", **calibration}
    tifffile.imwrite(path, np.ascontiguousarray(section.T), **options)


def _pages(file: tifffile.TiffFile) -> Iterator[Any]:
    """The pages that are no thumbnails or masks of others, as the header's check counts them."""
    for number in range(len(file.pages)):
        page = file.pages.get(number)
        if not _number(page, "NewSubfileType", 0) & ~2:
            yield page


def _pixels(page: Any, path: Path) -> NDArray[Any]:
    """One page (X,Y) or (X,Y,C)."""
    turned = False
    if page.compression in _BY_PILLOW or page.predictor == _FLOATING_PREDICTOR:
        array = _by_pillow(page, path)
        turned = page.bitspersample <= 8  # Pillow has black at 0 already
    else:
        if page.compression in _DEFLATE:
            _check_inflated(page)
        array = page.asarray(maxworkers=1)
    if page.samplesperpixel > 1 and page.planarconfig == 2:
        array = np.moveaxis(array, 0, -1)
    if array.dtype == bool:
        array = array.astype(np.uint8)
        array = 1 - array if page.photometric == 0 and not turned else array
    elif page.photometric == 0 and array.dtype.kind == "u" and not turned:
        array = np.invert(array)
    wanted = (page.imagelength, page.imagewidth) + (() if page.samplesperpixel == 1 else (page.samplesperpixel,))
    if array.shape != wanted:
        raise ValueError(f"its page has shape {wanted}, but is read as {array.shape}")
    return np.swapaxes(array, 0, 1)


def _by_pillow(page: Any, path: Path) -> NDArray[Any]:
    """One page (Y,X) or (Y,X,C) as libtiff decodes it."""
    if page.samplesperpixel > 1 and page.bitspersample != 8:
        raise ValueError("it has LZW or PackBits and colours of 16 bits; save it as gray, or with Deflate")
    if page.parent.byteorder == ">" and page.bitspersample > 16:  # whose bytes Pillow turns once too often
        raise ValueError("it has LZW or PackBits and big-endian samples of 32 bits; save it with Deflate or none")
    if _number(page, "Orientation", 1) > 1 or (page.photometric == 0 and page.bitspersample > 8):
        raise ValueError("it is turned, mirrored or inverted; save it plainly, or with Deflate")
    with _any_size(), TiffImagePlugin.TiffImageFile(path) as image:
        image.seek(page.index)
        array = np.asarray(image)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    return array.view(page.dtype) if array.dtype.itemsize == page.dtype.itemsize else array.astype(page.dtype)


@contextmanager
def _any_size() -> Iterator[None]:
    """Let Pillow read images of any size, for it was checked before."""
    with _PILLOW:
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _check_inflated(page: Any) -> None:
    """Refuse strips or tiles that inflate to more than they hold, for tifffile has no limit.

    Raises:
        ValueError: one does, or is no Deflate.
    """
    samples = page.samplesperpixel if page.planarconfig == 1 else 1
    rows, columns = (
        (page.tilelength, page.tilewidth)
        if page.is_tiled
        else (min(page.rowsperstrip, page.imagelength), page.imagewidth)
    )
    limit = prod((rows, columns, samples)) * page.dtype.itemsize
    handle = page.parent.filehandle
    for start, length in zip(page.dataoffsets, page.databytecounts, strict=True):
        handle.seek(start)
        try:
            inflated = zlib.decompressobj().decompress(handle.read(length), limit + 1) if length else b""
        except zlib.error as error:
            raise ValueError(f"a strip or tile cannot be decompressed: {error}") from None
        if len(inflated) > limit:
            raise ValueError(f"a strip or tile inflates to more than its {limit} bytes")


def _kind(page: Any) -> tuple[Any, ...]:
    return page.imagewidth, page.imagelength, page.imagedepth, page.samplesperpixel, page.dtype


def _imagej(description: str) -> dict[str, Any]:
    """ImageJ's and Fiji's description, empty where it is none."""
    try:
        return dict(tifffile.tifffile.imagej_description_metadata(description[:65536]))
    except ValueError:
        return {}


def _ome_spacing(description: str) -> tuple[float, float] | None:
    pixels = _ome_pixels(description)
    if pixels is None:
        return None
    found = []
    for axis in "XY":
        try:
            size = float(pixels.get(f"PhysicalSize{axis}", "0"))
        except ValueError:
            size = 0.0
        found.append(size * NM_PER_UNIT.get(_plain(pixels.get(f"PhysicalSize{axis}Unit", "µm")), 0.0))
    return found[0], found[1]


def _ome_pixels(description: str) -> Mapping[str, str] | None:
    """Attributes of the first ``Pixels`` of an OME-XML, None where the description is none."""
    if "<OME" not in description[:4096] and ":OME" not in description[:4096]:
        return None
    try:
        for _, element in ElementTree.iterparse(io.BytesIO(description.encode()), events=("start",)):
            if element.tag.rpartition("}")[2] == "Pixels":
                return dict(element.attrib)
    except (ElementTree.ParseError, LookupError, ValueError):
        pass
    return None


def _plain(unit: Any) -> str:
    """A unit in small letters, with the one sign of micro: there are two, and ImageJ escapes it."""
    return str(unit).strip().replace("\\u00B5", "µ").replace("\\u00b5", "µ").replace("μ", "µ").lower()


def _as_number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _escaped(unit: str) -> str:
    """A unit as ImageJ writes it, in ASCII."""
    return re.sub(r"[^\x20-\x7e]", lambda sign: f"\\u{ord(sign[0]):04X}", unit)


def _number(page: Any, tag: str, default: int) -> int:
    found = page.tags.get(tag)
    return int(found.value) if found is not None and isinstance(found.value, int) else default


def _inverse(page: Any, tag: str, nm: float) -> float:
    """Nanometres per pixel of a resolution, which is a fraction of pixels per unit; 0 for none."""
    found = page.tags.get(tag)
    value = found.value if found is not None else None
    if not (isinstance(value, tuple) and len(value) == 2 and value[0] > 0 and value[1] > 0):
        return 0.0
    return nm * float(value[1]) / float(value[0])
