"""From a binary mask to numbered instances: connected components without the dust."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import torch
from monai.config import KeysCollection
from monai.config.type_definitions import NdarrayOrTensor
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type, convert_to_numpy, ensure_tuple_rep
from skimage.measure import label

from bundle import keys as batch_keys

_RANK = {4: 1, 8: 2}
"""Neighbours of a pixel, and the name scikit-image has for that."""


def label_instances(mask: NdarrayOrTensor, min_size: int = 0, connectivity: int = 8) -> np.ndarray:
    """Number the connected components of a binary mask.

    Args:
        mask: (H,W) or (1,H,W), any numeric type; every value above 0 is foreground.
        min_size: components of this many pixels or fewer are dropped; 0 keeps all.
        connectivity: 4 (neighbours share an edge) or 8 (or a corner).

    Returns:
        Instance numbers 1..n, 0 background, in the shape of ``mask``, int32.

    Raises:
        ValueError: if the mask is not one 2D image, or connectivity is neither 4 nor 8.
    """
    if connectivity not in _RANK:
        raise ValueError(f"connectivity is {connectivity!r}; give 4 (neighbours share an edge) or 8 (or a corner).")
    array = convert_to_numpy(mask)
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[0] == 1):
        raise ValueError(f"mask has shape {tuple(array.shape)}, expected (H,W) or (1,H,W); pass one image at a time.")
    components = label(array.reshape(array.shape[-2:]) > 0, connectivity=_RANK[connectivity])
    kept = np.bincount(components.ravel()) > min_size
    kept[0] = False
    return (np.cumsum(kept) * kept).astype(np.int32)[components].reshape(array.shape)


class LabelInstancesd(MapTransform):
    """Post-transform: write the instances of a predicted mask, and drop its dust from the mask itself.

    Both outputs keep the metadata of the mask, so that ``SaveImaged`` writes them with the geometry of the input.

    Args:
        keys: the binary mask or masks (1,H,W).
        instances_key: where the instance numbers (1,H,W), int32, go; one name for each of ``keys``.
        min_size: components of this many pixels or fewer are dropped (15 in the evaluation of Prefer-DAS,
            arXiv 2602.19423).
        connectivity: 4 or 8, see :func:`label_instances`.
        allow_missing_keys: do nothing for a key that the item does not have.
    """

    def __init__(
        self,
        keys: KeysCollection,
        instances_key: KeysCollection = batch_keys.INSTANCES,
        min_size: int = 15,
        connectivity: int = 8,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.instances_keys = ensure_tuple_rep(instances_key, len(self.keys))
        self.min_size = min_size
        self.connectivity = connectivity

    def __call__(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, NdarrayOrTensor]:
        """Add the instances of every mask and clean the mask.

        Args:
            data: an item of a dataset or of a decollated batch.

        Returns:
            A copy of the item with the instance numbers added and the masks cleaned (same type, same values).
        """
        item = dict(data)
        for key, instances_key in self.key_iterator(item, self.instances_keys):
            mask = item[key]
            instances = label_instances(mask, self.min_size, self.connectivity)
            dtype = torch.int32 if isinstance(mask, torch.Tensor) else np.int32
            item[instances_key] = convert_to_dst_type(instances, dst=mask, dtype=dtype)[0]
            item[key] = mask * (item[instances_key] > 0)
        return item
