"""The items of a source domain: those of a folder, or synthetic ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bundle.data.domain_folder import SYNTHETIC, load_domain
from bundle.errors import SettingError
from bundle.synthetic.synthetic_dataset import SyntheticDataset


def source_items(
    source_dir: str | Path,
    pixel_size: float | None,
    cache_dir: str | Path,
    number: int,
    shape: Sequence[int],
    seed: int,
) -> list[dict[str, Any]]:
    """List the training items of a source domain; synthetic images that are not there yet are rendered.

    Args:
        source_dir: domain folder, or ``synthetic``. What follows is of synthetic images alone.
        pixel_size: nanometres per pixel, those of the target; None if nobody tells.
        cache_dir: folder that keeps the images. A command that was interrupted goes on where it was.
        number: of images, 1 or more.
        shape: (H, W) of each in pixels.
        seed: 0 or more; another seed gives other images.

    Returns:
        As :func:`bundle.data.load_domain` gives them.

    Raises:
        DataError: as :func:`bundle.data.load_domain` does, or a number cannot be used.
        SettingError: the pixel size of synthetic images is not known.
    """
    if str(source_dir) != SYNTHETIC:
        return load_domain(source_dir, "training")
    if pixel_size is None:
        raise SettingError(
            f"source_dir is {SYNTHETIC!r}, rendered at the pixel size of the target, which nobody tells; give "
            "--pixel_size NM, in nanometres, or name the folder of an annotated domain"
        )
    dataset = SyntheticDataset(cache_dir, pixel_size, number, shape, seed)
    dataset.render_all()
    return list(dataset.data)
