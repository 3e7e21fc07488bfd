"""From the network's output to masks on disk."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor
from monai.transforms import MapTransform, SaveImage

from bundle import keys as K

EIGHT_BIT = (".png", ".jpg", ".jpeg", ".bmp")
"""Formats without floating point: a density map is written there times 255."""


class SplitOutputd(MapTransform):
    """Network output (2,X,Y) to the binary mask (1,X,Y) uint8 under the same key, and ``density`` (1,X,Y) in [0,1].

    Args:
        keys: the network's output.
        threshold: smallest probability of foreground.

    Raises:
        ValueError: when ``threshold`` is not between 0 and 1.
    """

    def __init__(self, keys: str = K.PRED, threshold: float = 0.5) -> None:
        super().__init__(keys)
        if not 0 < threshold < 1:
            raise ValueError(f"threshold must be between 0 and 1, got {threshold}")
        self.logit = float(np.log(threshold / (1 - threshold)))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with mask and density."""
        d = dict(data)
        for key in self.key_iterator(d):
            out = d[key]
            d[K.DENSITY] = out[1:].clamp(0, 1)
            d[key] = (out[:1] > self.logit).byte()
        return d


class SaveOutputsd(MapTransform):
    """Write mask, density and instances beside each other, in the format and geometry of the input image.

    Files are ``<output_dir>/<stem of the image>_{mask,density,instances}<its extension>``. A mask is 0 and 255 where
    the format is a picture, else 0 and 1; instances are 16 bit.

    Args:
        keys: the mask.
        output_dir: folder, made when absent.
    """

    def __init__(self, keys: str = K.PRED, output_dir: str | Path = "eval") -> None:
        super().__init__(keys)
        self.output_dir = Path(output_dir)

    def __call__(self, data: Mapping[Hashable, Any]) -> Mapping[Hashable, Any]:
        """Write, and return the item as it is."""
        for key in self.key_iterator(data):
            mask = data[key]
            extension = self._extension(mask)
            picture = extension in EIGHT_BIT
            self._write(mask * (255 if picture else 1), "mask", np.uint8, extension)
            density = data[K.DENSITY]
            self._write(density * 255 if picture else density, "density", np.uint8 if picture else np.float32, extension)
            self._write(data[K.INSTANCES], "instances", np.uint16, extension)
        return data

    @staticmethod
    def _extension(image: MetaTensor) -> str:
        name = str(image.meta["filename_or_obj"]).lower()
        return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix

    def _write(self, image: MetaTensor, postfix: str, dtype: type, extension: str) -> None:
        writer = "NibabelWriter" if extension in (".nii", ".nii.gz") else "ITKWriter"
        SaveImage(
            output_dir=self.output_dir,
            output_postfix=postfix,
            output_ext=extension,
            output_dtype=dtype,
            resample=False,
            separate_folder=False,
            writer=writer,
            print_log=False,
        )(image)
