"""Image files to tensors, and a word on the file that cannot be read."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.transforms import LoadImage, MapTransform

from bundle import keys as K
from bundle.data.image_files import check_section, gray_of, opened, section_reader
from bundle.data.pixels import check_finite
from bundle.errors import DataError


class LoadGrayImaged(MapTransform):
    """MONAI's ``LoadImaged`` for files of one gray image, which are checked before a reader opens them.

    Colours that are all gray are one image, too.

    There are no meta dictionaries. The meta information has ``pixel_size``, nanometres per pixel, if the file tells it.

    Args:
        keys: paths, which become (X,Y,...) tensors.
        reader: name of a reader of MONAI. TIFF and MRC have readers of their own, whatever it is.
        allow_missing_keys: items may lack some of ``keys``.

    Raises:
        DataError: when called: a file cannot be read, is no single section, has colours, or holds what is not finite.
    """

    def __init__(self, keys: Any = K.IMAGE, reader: str = "ITKReader", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.reader = reader
        self.load = LoadImage(reader=reader, image_only=True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its files read."""
        d = dict(data)
        for key in self.key_iterator(d):
            path = d[key]
            with opened(path, self.reader) as header:
                check_section(path, header)
                image = self.load(path, reader=section_reader(path))
            if header.channels > 1:
                image = gray_of(image, path)
                image.meta["original_channel_dim"] = float("nan")
            if tuple(image.shape[:2]) != header.size:
                raise DataError(f"{path}: is read as {tuple(image.shape)} pixels, its header says {header.size}")
            check_finite(image, path)
            if header.pixel_size is not None:
                image.meta[K.PIXEL_SIZE] = header.pixel_size
            d[key] = image
        return d
