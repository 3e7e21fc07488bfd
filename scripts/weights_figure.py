"""Draw what weights find in synthetic images that they have not learnt from, and what they miss.

python -m scripts.weights_figure --checkpoint models/model_synthetic.pt
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from monai.bundle import ConfigParser
from numpy.typing import NDArray
from PIL import Image

from bundle.handlers.model_overlay import overlays_of
from bundle.handlers.weights import load_weights
from bundle.keys import IMAGE
from bundle.metrics.instances import label_instances
from bundle.synthetic import SyntheticDataset
from scripts.figures.picture_file import write_picture

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "inference.json"
NUMBER, COLUMNS = 8, 4
SHAPE = (192, 224)
SEED = 1000
"""Another than that of the training's images."""

GRAYS = 56
FOUND, MISSED, FALSE = (0, 170, 120), (40, 120, 255), (255, 100, 0)


def draw_figure(checkpoint: Path, folder: Path, number: int, shape: tuple[int, int]) -> Image.Image:
    """Draw images, and below each of them its pixels found (green), missed (blue) and taken by mistake (orange).

    Args:
        checkpoint: weights with their overlay beside them.
        folder: where the images are rendered.
        number: of images, a multiple of the columns or less than these.
        shape: (H, W) of each in pixels.

    Returns:
        Picture with a palette of 256 colours.
    """
    parser = ConfigParser()
    parser.read_config([str(CONFIG), *map(str, overlays_of(checkpoint))])
    parser["image_pixel_size"] = parser["pixel_size"]
    network = parser.get_parsed_content("network_def")
    load_weights(network, checkpoint)
    network.eval()
    preprocessing, inferer = (parser.get_parsed_content(name) for name in ("preprocessing", "inferer"))
    threshold, min_size = (parser.get_parsed_content(name) for name in ("threshold", "min_size"))
    tiles = []
    dataset = SyntheticDataset(folder, parser.get_parsed_content("pixel_size"), number, shape, SEED)
    for index in range(number):
        item = dataset[index]
        truth = np.array(Image.open(item["label"])).T > 0
        with torch.no_grad():
            pred = inferer(torch.as_tensor(preprocessing(dict(item))[IMAGE])[None].float(), network)
        mask = label_instances((pred[0, :1].sigmoid() > threshold).to(torch.uint8), min_size)[0] > 0
        tiles.append(_tile(np.array(Image.open(item["image"])), mask.T, truth.T))
    rows = [np.concatenate(tiles[index : index + COLUMNS], axis=1) for index in range(0, number, COLUMNS)]
    return Image.fromarray(np.concatenate(rows)).quantize(256, dither=Image.Dither.NONE)


def _tile(image: NDArray[np.uint8], mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The image above, the same with colours below, and a white edge (2 H + 4, W + 2, 3)."""
    gray = np.rint(np.rint(image / 255 * GRAYS) / GRAYS * 255)[..., None].repeat(3, axis=-1)
    painted = gray.copy()
    for where, colour in ((mask & truth, FOUND), (truth & ~mask, MISSED), (mask & ~truth, FALSE)):
        painted[where] = 0.5 * gray[where] + 0.5 * np.array(colour)
    parts = [np.pad(part, ((0, 2), (0, 2), (0, 0)), constant_values=255) for part in (gray, painted)]
    return np.concatenate(parts).astype(np.uint8)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(
        prog="python -m scripts.weights_figure", description=(__doc__ or "").split("\n")[0]
    )
    add = options.add_argument
    add("--checkpoint", type=Path, default=Path("models/model_synthetic.pt"), help="weights, with their overlay")
    add("--output", type=Path, default=Path("docs/weights.png"), help="picture (default: docs/weights.png)")
    add("--work", type=Path, default=Path("runs/weights/new"), help="folder for the images (default: runs/weights/new)")
    return options


def main() -> int:
    """Write the picture; returns the exit status."""
    args = parser().parse_args()
    return write_picture(args.output, lambda: draw_figure(args.checkpoint, args.work, NUMBER, SHAPE))


if __name__ == "__main__":
    sys.exit(main())
