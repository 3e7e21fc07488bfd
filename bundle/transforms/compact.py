"""Crops of sections that are kept in few bytes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data.utils import get_random_patch
from monai.transforms import MapTransform, Randomizable

from bundle import keys as K
from bundle.data.compact_map import CompactMap
from bundle.transforms.density import density_map

REACH = 6
"""Standard deviations beyond which a density below 2e-8 is 0."""


class Compactd(MapTransform):
    """Replace maps (C,X,Y) by :class:`bundle.data.CompactMap`, and a density map by that of its centres.

    A data set that caches what comes before a random crop then keeps, of a section of 8 bits with its targets, little
    more than a byte a pixel rather than sixteen.

    Args:
        keys: maps; ``density`` among them is kept as the map of its peaks, where it is 1.
        allow_missing_keys: items may lack some of ``keys``.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its maps replaced."""
        d = dict(data)
        for key in self.key_iterator(d):
            values = torch.as_tensor(d[key])
            d[key] = CompactMap((values == 1).to(torch.uint8) if key == K.DENSITY else values)
        return d


class RandCompactCropd(Randomizable, MapTransform):
    """Crop at random what :class:`Compactd` made: the maps as they were, at most ``roi_size`` large.

    Crops lie where those of MONAI's ``RandSpatialCropd`` of the same random state would. The density is drawn anew.

    Args:
        keys: maps of the same size.
        roi_size: (x, y) in pixels. A smaller map is taken whole.
        sigma: standard deviation in pixels of the Gaussians of ``density``; not needed without.
    """

    def __init__(self, keys: KeysCollection, roi_size: Sequence[int], sigma: float = 0.0) -> None:
        MapTransform.__init__(self, keys)
        self.roi_size = tuple(roi_size)
        self.sigma = sigma

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with tensors (C,x,y) of the crop."""
        d = dict(data)
        shape = d[self.keys[0]].shape[1:]
        size = tuple(min(pair) for pair in zip(self.roi_size, shape, strict=True))
        x, y = get_random_patch(shape, size, self.R)
        place = (x, y)
        for key in self.key_iterator(d):
            d[key] = self._density(d[key], place) if key == K.DENSITY else d[key].crop(place)
        return d

    def _density(self, peaks: CompactMap, place: tuple[slice, slice]) -> torch.Tensor:
        margin = int(np.ceil(REACH * self.sigma))
        (x, y), (width, height) = place, peaks.shape[1:]
        around = (
            slice(max(0, x.start - margin), min(width, x.stop + margin)),
            slice(max(0, y.start - margin), min(height, y.stop + margin)),
        )
        seen = peaks.crop(around)[0].numpy()
        density = density_map(seen.shape, np.argwhere(seen), self.sigma)
        inner = tuple(
            slice(side.start - wide.start, side.stop - wide.start) for side, wide in zip(place, around, strict=True)
        )
        return torch.from_numpy(density[inner][None].copy())
