"""From a binary mask to numbered instances: connected components without the dust."""

from __future__ import annotations

import numpy as np
from monai.config.type_definitions import NdarrayOrTensor
from monai.utils import convert_to_numpy
from skimage.measure import label

from bundle.errors import SettingError

_RANK = {4: 1, 8: 2}
"""Neighbours of a pixel, and the name scikit-image has for that."""


def label_instances(mask: NdarrayOrTensor, min_size: float = 0, connectivity: int = 8) -> np.ndarray:
    """Number the connected components of a binary mask.

    Args:
        mask: (H,W) or (1,H,W), any numeric type; every value above 0 is foreground.
        min_size: components of this many pixels or fewer are dropped; 0 keeps all.
        connectivity: 4 (neighbours share an edge) or 8 (or a corner).

    Returns:
        Instance numbers 1..n, 0 background, in the shape of ``mask``, int32.

    Raises:
        ValueError: if the mask is not one 2D image.
        SettingError: if connectivity is neither 4 nor 8.
    """
    if connectivity not in _RANK:
        raise SettingError(f"connectivity is {connectivity!r}; give 4 (neighbours share an edge) or 8 (or a corner).")
    array = convert_to_numpy(mask)
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[0] == 1):
        raise ValueError(f"mask has shape {tuple(array.shape)}, expected (H,W) or (1,H,W); pass one image at a time.")
    components = label(array.reshape(array.shape[-2:]) > 0, connectivity=_RANK[connectivity])
    kept = np.bincount(components.ravel()) > min_size
    kept[0] = False
    instances: np.ndarray = (np.cumsum(kept) * kept).astype(np.int32)[components].reshape(array.shape)
    return instances
