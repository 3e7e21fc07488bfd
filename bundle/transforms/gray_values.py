"""Gray values of an image matched to those of other images."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform
from skimage.exposure import match_histograms

from bundle import keys as K
from bundle.data.image_files import read_image
from bundle.errors import SettingError

VALUES = 1 << 22
"""Gray values of the references that are kept, of all of them together."""


class MatchGrayValuesd(MapTransform):
    """Match the histogram of an image to that of reference images, all of them taken together.

    The reference images are read once, when this is made; of each an evenly spaced share of the pixels is kept.

    Args:
        keys: images (1,X,Y).
        references: image files, such as those of the source domain.

    Raises:
        SettingError: there are no references.
        DataError: a reference cannot be read.
    """

    def __init__(self, keys: Any = K.IMAGE, references: Sequence[str] = ()) -> None:
        super().__init__(keys)
        if not references:
            raise SettingError("references is empty; expected the image files whose gray values are matched")
        share = VALUES // len(references)
        self.values = np.concatenate([_evenly(read_image(path).ravel(), share) for path in references])

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its images (1,X,Y) float32 in the references' gray values."""
        d = dict(data)
        for key in self.key_iterator(d):
            image = d[key].clone()
            matched = match_histograms(d[key][0].numpy(), self.values[None])
            image[0] = torch.from_numpy(matched).to(image.dtype)
            d[key] = image
        return d


def _evenly(values: np.ndarray, number: int) -> np.ndarray:
    return values[:: max(1, -(-len(values) // max(1, number)))]
