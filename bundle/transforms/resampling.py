"""Images to the pixels that the network knows, and its output back to the pixels of the image."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from torch.nn import functional

from bundle import keys as K
from bundle.data.pixel_size import check_nanometres, image_pixel_size, unknown_pixel_size
from bundle.data.resampling import resampled, resampled_size

INPUT_SHAPE = "input_shape"
"""Of the meta information of a resampled image, and of the network's output for it: (X, Y) before."""
AREA_RATIO = "area_ratio"
"""Of the meta information of an output on the input's grid: its pixels for one of the network's."""


class ToNetworkPixelsd(MapTransform):
    """Resample an image (1,X,Y) to the network's pixel size, as :mod:`scripts.prepare_data` does for training.

    The pixel size of an image is that of the item (``pixel_size``), or of its file as
    :class:`bundle.transforms.LoadGrayImaged` notes it; else what a person says. Clicks stay in pixels of the file:
    :class:`bundle.transforms.AddClickChannelsd` moves them.

    Args:
        keys: the image, a MetaTensor.
        pixel_size: nanometres per pixel that the network works at; None for unknown, then nothing is resampled.
        image_pixel_size: nanometres per pixel of images that do not tell.

    Raises:
        SettingError: one of the numbers is not above 0; when called: a file contradicts ``image_pixel_size``.
        DataError: when called: nobody tells the pixel size of an image, or it would become too large.
    """

    def __init__(
        self,
        keys: KeysCollection = K.IMAGE,
        pixel_size: float | None = None,
        image_pixel_size: float | None = None,
    ) -> None:
        super().__init__(keys)
        check_nanometres("pixel_size", pixel_size)
        check_nanometres("image_pixel_size", image_pixel_size)
        self.pixel_size = pixel_size
        self.image_pixel_size = image_pixel_size

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its image resampled."""
        d = dict(data)
        if self.pixel_size is None:
            return d
        for key in self.key_iterator(d):
            image, file = d[key], getattr(d[key], "meta", {}).get("filename_or_obj", "an image")
            told = d.get(K.PIXEL_SIZE, getattr(image, "meta", {}).get(K.PIXEL_SIZE))
            own = image_pixel_size({str(file): told}, self.image_pixel_size)
            if own is None:
                raise unknown_pixel_size(file)
            shape = (int(image.shape[-2]), int(image.shape[-1]))
            size = resampled_size(shape, own / self.pixel_size)
            if size != shape:
                d[key] = MetaTensor(
                    _resampled(image, size), meta={**getattr(image, "meta", {}), INPUT_SHAPE: np.array(shape)}
                )
        return d


class ToInputPixelsd(MapTransform):
    """Bring the network's output (2,X,Y) to the pixels that the image had before :class:`ToNetworkPixelsd`.

    Logits and densities are interpolated linearly, without aliasing where pixels become fewer. A density keeps its
    values, so a peak stays near 1 whatever the pixel size. An output for an image that was not resampled stays.

    Args:
        keys: the network's output.
    """

    def __init__(self, keys: KeysCollection = K.PRED) -> None:
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its output on the input's grid."""
        d = dict(data)
        for key in self.key_iterator(d):
            out = d[key]
            meta = dict(getattr(out, "meta", {}))
            if INPUT_SHAPE not in meta:
                continue
            x, y = (int(length) for length in meta.pop(INPUT_SHAPE))
            values = torch.as_tensor(out).as_subclass(torch.Tensor).float()
            wanted = functional.interpolate(values[None], (x, y), mode="bilinear", antialias=True)[0]
            meta[AREA_RATIO] = x * y / (out.shape[-2] * out.shape[-1])
            d[key] = MetaTensor(wanted, meta=meta)
        return d


def _resampled(image: Any, size: tuple[int, int]) -> torch.Tensor:
    """An image (1,X,Y) at another size, float32."""
    section = np.asarray(image, dtype=np.float32)[0]
    values = resampled(section, size)
    # Files of whole numbers come as floating point; prepare_data rounds what it makes of such files.
    if np.array_equal(section, np.rint(section)):
        values = np.rint(values)
    return torch.from_numpy(np.ascontiguousarray(values))[None]
