"""The sections of an image file, read one by one where the format allows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from monai.config import PathLike
from monai.data import ImageReader
from monai.utils import ensure_tuple
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sections:
    """What is read of an image file.

    Attributes:
        dtype: type of its numbers.
        count: number of sections along z, 1 for a plain image.
        channels: 1, or of a colour image 3 or 4.
        read: returns one section by its number, (X,Y), or (X,Y,C) where it has channels.
    """

    dtype: np.dtype[Any]
    count: int
    channels: int
    read: Callable[[int], NDArray[Any]]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return map(self.read, range(self.count))


class SectionReader(ImageReader):
    """A reader for MONAI's ``LoadImage``; arrays are (X,Y) or (X,Y,Z), with channels behind.

    Args:
        suffixes: of the names of its files.
        open_sections: opens a file.
    """

    def __init__(
        self, suffixes: Sequence[str], open_sections: Callable[[PathLike], AbstractContextManager[Sections]]
    ) -> None:
        super().__init__()
        self.suffixes = tuple(suffixes)
        self.open_sections = open_sections

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Whether it reads files of these names."""
        return all(str(name).lower().endswith(self.suffixes) for name in ensure_tuple(filename))

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> tuple[NDArray[Any], int]:
        """Read a file (or the only one of a sequence); returns its array and the number of channels."""
        (path,) = ensure_tuple(data)
        with self.open_sections(path) as sections:
            found = list(sections)
        return (found[0] if len(found) == 1 else np.stack(found, axis=2)), sections.channels

    def get_data(self, img: tuple[NDArray[Any], int]) -> tuple[NDArray[Any], dict[str, Any]]:
        """The array, and what MONAI wants to know of it."""
        array, channels = img
        spatial = array.shape if channels == 1 else array.shape[:-1]
        last = float("nan") if channels == 1 else -1
        return array, {"spatial_shape": np.asarray(spatial), "original_channel_dim": last}
