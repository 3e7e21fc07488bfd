"""The synthetic image that a package is tested and shown with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from skimage.measure import label as label_components

from bundle.handlers.evaluation_pictures import overlay
from bundle.synthetic.generator import generate_image
from bundle.synthetic.styles import STYLES

SHAPE = (192, 320)
"""(Y, X), which differ, so that turned axes are noticed."""


def example_image() -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Make the image, always the same, and clicks: two mitochondria, and the point farthest from all of them.

    Returns:
        (Y,X) uint8, and (2,Y,X) float32 of 0 and 1, channel 0 foreground clicks, channel 1 background clicks.
    """
    image, mask = generate_image(STYLES["synthetic-b"], SHAPE, np.random.default_rng(0))
    instances = label_components(mask > 0)
    clicks = np.zeros((2, *SHAPE), np.float32)
    for channel, where in ((0, instances == 1), (0, instances == 2), (1, instances == 0)):
        clicks[channel].flat[distance_transform_edt(where).argmax()] = 1
    return image, clicks


def cover_picture(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Put a square of an image beside the same square with its mask.

    Args:
        image: (Y,X), with X at least Y.
        mask: (Y,X).

    Returns:
        (2Y,4Y,3) uint8: the left side of the image twice, enlarged; twice as wide as high, as BioImage.IO wants it.
    """
    square = np.s_[:, : image.shape[0]]
    sides = [overlay(image[square].T, drawn, None) for drawn in (None, mask[square].T)]
    picture: NDArray[np.uint8] = np.rint(255 * np.concatenate(sides, axis=1)).astype(np.uint8)
    return picture
