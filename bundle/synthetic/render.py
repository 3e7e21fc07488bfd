"""Paint one image of synthetic tissue in the order of the biology."""

from collections.abc import Sequence
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from bundle.errors import DataError
from bundle.synthetic.cells import Cells, paint_cells
from bundle.synthetic.cytoplasm import paint_cytoplasm
from bundle.synthetic.microscope import expose
from bundle.synthetic.mitochondria import paint_mitochondria
from bundle.synthetic.nuclei import paint_nuclei
from bundle.synthetic.organelles import paint_organelles
from bundle.synthetic.scene import Scene
from bundle.synthetic.tissue_style import TissueStyle

SMALLEST_SIDE = 32
"""Shortest side of an image in pixels."""


def render(
    style: TissueStyle, shape: Sequence[int], pixel_size: float, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Paint an image and its mitochondria.

    Args:
        style: tissue and microscope.
        shape: (H, W) in pixels, each at least 32.
        pixel_size: nanometres per pixel, above 0; made for 5 to 40.
        rng: source of every random draw; the same state gives the same image.

    Returns:
        Image (H,W) uint8, 0 to 255, and instances (H,W) int32: 0, or 1, 2, ... for each mitochondrion. Each instance
        is one 8-connected component, and none touches another.

    Raises:
        DataError: shape or pixel size cannot be used.
    """
    scene, cells = paint_section(style, shape, pixel_size, rng)
    return expose(scene, cells, style.microscope), scene.instances


def paint_section(
    style: TissueStyle, shape: Sequence[int], pixel_size: float, rng: np.random.Generator
) -> tuple[Scene, Cells]:
    """Paint what lies under the microscope; arguments and errors are those of :func:`render`."""
    scene = Scene(check_size(shape, pixel_size), pixel_size, rng)
    membrane_level = style.cells.membrane_level
    cells = paint_cells(scene, style.cells, style.microscope.thickness)
    paint_nuclei(scene, cells, style.nuclei, style.cells.nucleus_share, membrane_level)
    paint_cytoplasm(scene, cells, style.cytoplasm, membrane_level)
    paint_mitochondria(scene, cells, style.mitochondria)
    paint_organelles(scene, style.organelles, membrane_level)
    return scene, cells


def check_size(shape: Sequence[int], pixel_size: float) -> tuple[int, int]:
    """Check size and pixel size of an image.

    Args:
        shape: (H, W) in pixels.
        pixel_size: nanometres per pixel.

    Returns:
        The shape.

    Raises:
        DataError: a side is too short, or the pixel size is not above 0.
    """
    pair = isinstance(shape, Sequence) and len(shape) == 2 and all(isinstance(side, int | np.integer) for side in shape)
    if not pair or min(shape) < SMALLEST_SIDE:
        raise DataError(f"shape is {shape}; expected (H, W) of at least {SMALLEST_SIDE} each")
    if not (isfinite(pixel_size) and pixel_size > 0):
        raise DataError(f"pixel_size is {pixel_size}; expected nanometres above 0")
    return int(shape[0]), int(shape[1])
