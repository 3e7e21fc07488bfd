"""Instance maps and density maps from binary masks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.data import MetaTensor
from monai.transforms import MapTransform
from scipy import ndimage
from skimage.measure import label as connected_components

from bundle import keys as K
from bundle.errors import SettingError


def instance_centres(instances: np.ndarray) -> np.ndarray:
    """Find the pixel of each instance nearest to its centroid, so that the centre of a crescent lies in the crescent.

    Args:
        instances: (X,Y) int, 0 background, 1..n.

    Returns:
        (n,2) int.
    """
    centres = []
    for i, box in enumerate(ndimage.find_objects(instances), start=1):
        pixels = np.argwhere(instances[box] == i)
        nearest = pixels[np.square(pixels - pixels.mean(axis=0)).sum(axis=1).argmin()]
        centres.append(nearest + [s.start for s in box])
    return np.array(centres, dtype=np.int64).reshape(-1, 2)


def density_map(shape: tuple[int, int], centres: np.ndarray, sigma: float) -> np.ndarray:
    """Draw a Gaussian of peak 1 at each centre; where several overlap, the largest counts (Prompt-DAS, detection head).

    Args:
        shape: (X, Y).
        centres: (n,2) int pixels.
        sigma: standard deviation in pixels.

    Returns:
        (X,Y) float32 in [0,1].
    """
    if len(centres) == 0:
        return np.zeros(shape, dtype=np.float32)
    seeds = np.ones(shape, dtype=bool)
    seeds[tuple(centres.T)] = False
    # The largest of several equal Gaussians is that of the nearest centre.
    distance: np.ndarray = ndimage.distance_transform_edt(seeds)
    density: np.ndarray = np.exp(-np.square(distance) / (2 * sigma * sigma)).astype(np.float32)
    return density


class InstanceTargetsd(MapTransform):
    """Add the instance map and the density map of a mask, all (1,X,Y), and make the mask 0 and 1.

    Args:
        keys: the mask; anything but 0 is foreground.
        sigma: standard deviation of a Gaussian, in pixels.
        connectivity: 8 or 4 neighbours join pixels to one instance.

    Raises:
        SettingError: when ``sigma`` is not positive, or ``connectivity`` neither 4 nor 8.
    """

    def __init__(self, keys: str = K.LABEL, sigma: float = 4.0, connectivity: int = 8) -> None:
        super().__init__(keys)
        if connectivity not in (4, 8):
            raise SettingError(f"connectivity must be 4 or 8, got {connectivity}")
        if sigma <= 0:
            raise SettingError(f"sigma must be positive, got {sigma}")
        self.sigma = sigma
        self.connectivity = 1 if connectivity == 4 else 2

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with ``instances`` and ``density`` beside its mask."""
        d = dict(data)
        for key in self.key_iterator(d):
            mask = np.asarray(d[key])[0] > 0
            instances = connected_components(mask, connectivity=self.connectivity)
            density = density_map(mask.shape, instance_centres(instances), self.sigma)
            meta = d[key].meta if isinstance(d[key], MetaTensor) else None
            for name, array in ((key, mask), (K.INSTANCES, instances), (K.DENSITY, density)):
                d[name] = MetaTensor(array[None].astype(np.float32), meta=meta)
        return d
