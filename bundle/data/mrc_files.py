"""MRC through mrcfile: tomograms and single sections, read section by section."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import mrcfile
import numpy as np
from monai.config import PathLike
from mrcfile import utils
from numpy.typing import NDArray

from bundle.data.sections import Sections

MRC_SUFFIXES = (".mrc", ".rec", ".st", ".map")
NM_PER_ANGSTROM = 0.1
IMOD_STAMP = 1146047817
"""At byte 152 of a header that IMOD wrote, 40 of what mrcfile calls ``extra2``; flags follow."""
_IMOD_SIGNED = 1
_UNCALIBRATED = 1.0
"""What IMOD writes, in angstrom, where it knows no voxel size."""


def mrc_spacing(path: PathLike) -> tuple[float, float]:
    """Nanometres per pixel along x and y; 0 where the header tells none, which 1 angstrom stands for too."""
    header = _header(path)
    per_pixel = []
    for axis, samples in (("x", header.mx), ("y", header.my)):
        angstrom = float(header.cella[axis]) / int(samples) if int(samples) > 0 else 0.0
        per_pixel.append(0.0 if angstrom == _UNCALIBRATED else angstrom * NM_PER_ANGSTROM)
    return per_pixel[0], per_pixel[1]


@contextmanager
def open_mrc(path: PathLike) -> Iterator[Sections]:
    """Open an MRC file that passed :func:`bundle.data.image_headers.checked`.

    Row 0 is the first in the file, which IMOD shows at the bottom.
    """
    header = _header(path)
    dtype = utils.data_dtype_from_header(header)
    if dtype == np.int8 and is_unsigned(header):
        dtype = np.dtype(np.uint8)
    count, rows, columns = int(header.nz), int(header.ny), int(header.nx)
    start = header.nbytes + int(header.nsymbt)

    def read(number: int) -> NDArray[Any]:
        place = start + number * rows * columns * dtype.itemsize
        values = np.fromfile(path, dtype, rows * columns, offset=place).astype(dtype.newbyteorder("="))
        section: NDArray[Any] = values.reshape(rows, columns).T
        return section

    yield Sections(dtype.newbyteorder("="), count, 1, read)


class Geometry(NamedTuple):
    """Where pixels lie.

    Attributes:
        voxel_size: (x, y, z) in angstrom, 0 for unknown.
        fields: further fields of the header, by mrcfile's names.
    """

    voxel_size: tuple[float, float, float]
    fields: Mapping[str, Any]


def mrc_geometry(like: PathLike | float | None) -> Geometry:
    """The geometry to write a file with.

    Args:
        like: MRC file whose voxel size, origin and start are taken over; or the pixel size in nanometres; None for
            unknown.
    """
    if like is None or isinstance(like, int | float):
        size = (like or 0.0) / NM_PER_ANGSTROM
        return Geometry((size, size, size), {})
    header = _header(like)
    x, y, z = (float(header.cella[axis]) / (int(header[f"m{axis}"]) or 1) for axis in "xyz")
    return Geometry((x, y, z), {name: header[name] for name in ("nxstart", "nystart", "nzstart", "origin")})


def write_mrc(path: PathLike, section: NDArray[Any], geometry: Geometry) -> None:
    """Write one section.

    Args:
        path: the file.
        section: array (X,Y), uint8 up to 127 (written as int8, since MRC has no other), uint16 or float32.
        geometry: of :func:`mrc_geometry`.
    """
    rows = np.ascontiguousarray(section.T)
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(rows.astype(np.int8) if rows.dtype == np.uint8 else rows)
        file.voxel_size = geometry.voxel_size
        for name, value in geometry.fields.items():
            file.header[name] = value


def is_unsigned(header: Any) -> bool:
    """Whether bytes are without sign, as older IMOD writes them; of an ``mrcfile`` header of mode 0."""
    stamp, flags = np.frombuffer(header.extra2.tobytes(), header.nx.dtype, 2, offset=40)
    return bool(stamp == IMOD_STAMP and not flags & _IMOD_SIGNED)


def _header(path: PathLike) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it was checked before, and old writers leave out what is not needed
        with mrcfile.open(path, permissive=True, header_only=True) as file:
            return file.header.copy()
