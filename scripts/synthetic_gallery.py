"""Draw a gallery of synthetic tissue: images of random styles, mitochondria outlined in the right half of each."""

import argparse
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.segmentation import find_boundaries

from bundle.synthetic import random_style, render
from scripts.figures.picture_file import write_picture

SHARES = {"neuropil": 5, "cell bodies": 2, "epithelium": 2, "muscle": 1, "culture": 2}
"""How many of each kind of tissue are shown."""

COLUMNS = 4
SHAPE = (224, 256)
GRAYS = 64
"""Gray levels of the picture: noise does not compress, and nobody sees more of them."""

OUTLINE = (255, 120, 0)


def draw_gallery(seed: int, pixel_size: float, shape: tuple[int, int]) -> Image.Image:
    """Draw twelve styles, four in a row; the right half of each image shows the outlines of its mitochondria.

    Args:
        seed: 0 or more; another seed gives other styles.
        pixel_size: nanometres per pixel.
        shape: (H, W) of each image in pixels.

    Returns:
        Picture with a palette of grays and one colour.
    """
    tiles: list[NDArray[np.uint8]] = []
    left, number = Counter(SHARES), 0
    while left.total():
        rng = np.random.default_rng([seed, number])
        style = random_style(rng)
        number += 1
        if left[style.tissue] > 0:
            left[style.tissue] -= 1
            tiles.append(_tile(*render(style, shape, pixel_size, rng)))
    rows = [np.concatenate(tiles[index : index + COLUMNS], axis=1) for index in range(0, len(tiles), COLUMNS)]
    picture = Image.fromarray(np.concatenate(rows))
    grays = [level for gray in np.linspace(0, 255, GRAYS).astype(int) for level in (gray,) * 3]
    picture.putpalette([*grays, *OUTLINE])
    return picture


def _tile(image: NDArray[np.uint8], instances: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Palette indices of an image with a white edge."""
    tile = np.rint(image / 255 * (GRAYS - 1)).astype(np.uint8)
    outline = find_boundaries(instances, mode="outer")
    outline[:, : tile.shape[1] // 2] = False
    tile[outline] = GRAYS
    return np.pad(tile, ((0, 2), (0, 2)), constant_values=GRAYS - 1)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(
        prog="python -m scripts.synthetic_gallery", description=(__doc__ or "").split("\n")[0]
    )
    add = options.add_argument
    add("--output", type=Path, default=Path("docs/synthetic.png"), help="picture (default: docs/synthetic.png)")
    add("--pixel-size", type=float, default=16.0, help="nm per pixel (default: 16)")
    add("--seed", type=int, default=0, help="of the styles (default: 0)")
    return options


def main() -> int:
    """Write the picture; returns the exit status."""
    args = parser().parse_args()
    return write_picture(args.output, lambda: draw_gallery(args.seed, args.pixel_size, SHAPE))


if __name__ == "__main__":
    sys.exit(main())
