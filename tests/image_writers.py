"""Images (Y,X) as microscopes and their programs write them, with a pixel size in nanometres."""

from pathlib import Path

import mrcfile
import numpy as np
import tifffile
from PIL import Image


def write_fiji(path: Path, rows: np.ndarray, nm: float, unit: str = "um") -> Path:
    """A TIFF of ImageJ or Fiji, whose resolution counts pixels for a unit that the description names."""
    per_unit = {"um": 1e3, "\\u00B5m": 1e3, "micron": 1e3, "nm": 1.0, "mm": 1e6}.get(unit, 1.0) / nm
    tifffile.imwrite(path, rows, imagej=True, resolution=(per_unit, per_unit), metadata={"unit": unit, "axes": "YX"})
    return path


def write_ome(path: Path, rows: np.ndarray, nm: float, unit: str = "nm", **options) -> Path:
    """An OME-TIFF."""
    size = nm * {"nm": 1.0, "µm": 1e-3, "Å": 10.0}[unit]
    metadata = {"axes": "YX"}
    for axis in "XY":
        metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": unit}
    tifffile.imwrite(path, rows, ome=True, metadata=metadata, **options)
    return path


def write_tiled_bigtiff(path: Path, rows: np.ndarray, nm: float) -> Path:
    """A compressed BigTIFF in tiles, with resolution tags in centimetres."""
    resolution = {"resolution": (1e7 / nm, 1e7 / nm), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(path, rows, bigtiff=True, tile=(32, 32), compression="zlib", **resolution, metadata=None)
    return path


def write_mrc(path: Path, rows: np.ndarray, nm: float | None) -> Path:
    """An MRC file; of ``None`` its voxel size is 0."""
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(rows)
        if nm is not None:
            file.voxel_size = nm * 10
    return path


def write_png(path: Path, rows: np.ndarray) -> Path:
    """A PNG, which tells no pixel size."""
    Image.fromarray(rows).save(path)
    return path


def lzw_tiles(path: Path, rows: np.ndarray, byteorder: str = "<") -> Path:
    """A TIFF in LZW tiles of 32 pixels, each encoded by Pillow as a file of its own, little-endian."""
    swapped = rows.byteswap() if byteorder == ">" else rows
    tiles = []
    for y in range(0, rows.shape[0], 32):
        for x in range(0, rows.shape[1], 32):
            tile = np.zeros((32, 32), rows.dtype)
            part = swapped[y : y + 32, x : x + 32]
            tile[: part.shape[0], : part.shape[1]] = part
            small = path.with_name("tile.tif")
            Image.fromarray(tile).save(small, compression="tiff_lzw", tiffinfo={278: 32})
            with tifffile.TiffFile(small) as file:
                (start,), (length,) = file.pages[0].dataoffsets, file.pages[0].databytecounts
            tiles.append(small.read_bytes()[start : start + length])
            small.unlink()
    kind = {"shape": rows.shape, "dtype": rows.dtype, "tile": (32, 32), "compression": 8, "photometric": "minisblack"}
    tifffile.imwrite(
        path, iter(tiles), **kind, byteorder=byteorder, metadata=None
    )  # it has no LZW, but writes what it is given
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags["Compression"].overwrite(5)
    return path
