"""The border at which volumes and colour images stop."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform

from bundle import keys as K
from bundle.errors import DataError


class SingleSectiond(MapTransform):
    """One gray section (1,X,Y), of files that store it with further axes of length 1, as NIfTI often does.

    Args:
        keys: the image or its mask, channel first.
        allow_missing_keys: do nothing for a key that the item does not have.
    """

    def __init__(self, keys: KeysCollection = K.IMAGE, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its image (1,X,Y).

        Raises:
            DataError: when the image has several channels or several sections.
        """
        d = dict(data)
        for key in self.key_iterator(d):
            shape = tuple(d[key].shape)
            if shape[0] != 1 or len(shape) < 3 or any(length != 1 for length in shape[3:]):
                raise DataError(
                    f"{key} has shape {shape} (channels, x, y, ...), expected one gray section (1, x, y). Save colour "
                    "as plain gray; take stacks apart with python -m scripts.prepare_data"
                )
            d[key] = d[key].reshape(shape[:3])
        return d
