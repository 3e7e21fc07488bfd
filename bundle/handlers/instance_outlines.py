"""Outlines and numbers of instances on their image, as a picture to look at."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage.measure import regionprops_table
from skimage.segmentation import find_boundaries
from skimage.transform import downscale_local_mean

from bundle.handlers.evaluation_pictures import FOREGROUND_CLICK, gray

LONGEST = 2048
"""Pixels of the longest side of a picture; larger images are shrunk."""

SHORTEST = 768
"""Pixels of the longest side below which an image is enlarged, as far as a whole number of times allows."""

FONT_SIZE = 16


def outlined(image: np.ndarray, instances: np.ndarray) -> Image.Image:
    """Draw the outlines of instances, and their numbers, on an image.

    Lines and numbers belong to the picture, not to the image, so they can be read whatever the image's size.

    Args:
        image: (X,Y), of any range.
        instances: instance numbers (X,Y), 0 background.

    Returns:
        RGB picture of the image, enlarged or shrunk by a whole number.
    """
    longest = max(image.shape)
    shrink = -(-longest // LONGEST)
    if shrink > 1:
        whole = tuple(slice(side // shrink * shrink) for side in image.shape)
        image = downscale_local_mean(image[whole], (shrink, shrink))
        middles = slice(shrink // 2, None, shrink)
        instances = instances[whole][middles, middles]
    enlarge = max(1, SHORTEST // longest)
    drawn = instances.T.repeat(enlarge, axis=0).repeat(enlarge, axis=1)
    pixels = np.rint(gray(image) * 255).astype(np.uint8).repeat(enlarge, axis=0).repeat(enlarge, axis=1)
    pixels[find_boundaries(drawn, mode="thick")] = FOREGROUND_CLICK
    picture = Image.fromarray(pixels)
    _write_numbers(picture, drawn)
    return picture


def _write_numbers(picture: Image.Image, drawn: np.ndarray) -> None:
    """Write the number of each instance at its centroid."""
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(FONT_SIZE)
    found = regionprops_table(drawn, properties=("label", "centroid"))
    for number, y, x in zip(found["label"], found["centroid-0"], found["centroid-1"], strict=True):
        pen.text((x, y), str(number), fill="white", font=font, anchor="mm", stroke_width=1, stroke_fill="black")
