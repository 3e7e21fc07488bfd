"""Image files to tensors, and a word on the file that cannot be read."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.transforms import LoadImage, MapTransform

from bundle import keys as K
from bundle.data.pixels import check_finite
from bundle.errors import DataError


class LoadSectiond(MapTransform):
    """MONAI's ``LoadImaged`` without meta dictionaries; its errors do not say which file they are about, these do.

    Args:
        keys: paths, which become (X,Y,...) tensors.
        reader: name of a reader of MONAI.
        allow_missing_keys: items may lack some of ``keys``.

    Raises:
        DataError: when called: a file cannot be read, or holds what is not finite.
    """

    def __init__(self, keys: Any = K.IMAGE, reader: str = "ITKReader", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.load = LoadImage(reader=reader, image_only=True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its files read."""
        d = dict(data)
        for key in self.key_iterator(d):
            path = d[key]
            try:
                d[key] = self.load(path)
            except Exception as error:  # the readers have no exception class in common
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise DataError(f"{path}: cannot be read as an image ({reason})") from None
            check_finite(d[key], path)
        return d
