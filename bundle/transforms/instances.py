"""Instances of a predicted mask."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import torch
from monai.config import KeysCollection
from monai.config.type_definitions import NdarrayOrTensor
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type, ensure_tuple_rep

from bundle import keys as batch_keys
from bundle.metrics.instances import label_instances
from bundle.transforms.resampling import AREA_RATIO


class LabelInstancesd(MapTransform):
    """Post-transform: label the instances of a predicted mask, and remove small components from the mask.

    Both outputs keep the metadata of the mask, so that ``SaveImaged`` writes them with the geometry of the input.

    Args:
        keys: the binary mask or masks (1,H,W).
        instances_key: where the instance numbers (1,H,W), int32, go; one name for each of ``keys``.
        min_size: components of this many pixels or fewer are dropped (15 in the evaluation of Prefer-DAS,
            arXiv 2602.19423). On the grid of an input that was resampled, those of the same area.
        connectivity: 4 or 8, see :func:`bundle.metrics.label_instances`.
        allow_missing_keys: skip keys that the item does not have.
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
            ratio = float(getattr(mask, "meta", {}).get(AREA_RATIO, 1.0))
            instances = label_instances(mask, self.min_size * ratio, self.connectivity)
            dtype = torch.int32 if isinstance(mask, torch.Tensor) else np.int32
            item[instances_key] = convert_to_dst_type(instances, dst=mask, dtype=dtype)[0]
            item[key] = mask * (item[instances_key] > 0)
        return item
