"""Maps of a whole section in few bytes, of which crops are made."""

from __future__ import annotations

import numpy as np
import torch


class CompactMap:
    """The same numbers as a map in the smallest of three forms, chosen for each channel.

    - Runs of equal values in row-major order: labels, instances and clicks, of which a section has few.
    - Codes of 8 or 16 bits into a table of the values that occur: gray values, also after normalisation, for the image
      of a file has 256 or 65,536 of them.
    - The map as it is, where it has more values than that.

    Args:
        values: (C,X,Y).
    """

    def __init__(self, values: torch.Tensor) -> None:
        self.shape = tuple(values.shape)
        array = torch.as_tensor(values).numpy()
        self._channels = [_smallest(np.ascontiguousarray(channel)) for channel in array]

    @property
    def nbytes(self) -> int:
        """Memory in bytes."""
        return sum(channel.nbytes for channel in self._channels)

    def crop(self, place: tuple[slice, slice]) -> torch.Tensor:
        """Return the part (C,x,y) at slices of X and Y, which lie inside, as new memory of the type of the map."""
        return torch.from_numpy(np.stack([channel.crop(place) for channel in self._channels]))


class _Plain:
    def __init__(self, channel: np.ndarray) -> None:
        self.channel = channel
        self.nbytes = channel.nbytes

    def crop(self, place: tuple[slice, slice]) -> np.ndarray:
        cropped: np.ndarray = self.channel[place]
        return cropped


class _Codes:
    def __init__(self, table: np.ndarray, codes: np.ndarray) -> None:
        self.table, self.codes = table, codes
        self.nbytes = table.nbytes + codes.nbytes

    def crop(self, place: tuple[slice, slice]) -> np.ndarray:
        cropped: np.ndarray = self.table[self.codes[place]]
        return cropped


class _Runs:
    def __init__(self, channel: np.ndarray, starts: np.ndarray) -> None:
        self.width = channel.shape[1]
        self.starts = starts.astype(np.min_scalar_type(channel.size))
        self.table, codes = np.unique(channel.reshape(-1)[starts], return_inverse=True)
        self.codes = codes.astype(np.min_scalar_type(len(self.table)))
        self.nbytes = self.starts.nbytes + self.table.nbytes + self.codes.nbytes

    def crop(self, place: tuple[slice, slice]) -> np.ndarray:
        """Spell out whole rows, and of them the columns."""
        rows, columns = place
        low, high = rows.start * self.width, rows.stop * self.width
        # Of the type of starts: they would be copied whole to one that holds both.
        first, last = np.searchsorted(self.starts, np.array((low, high - 1), self.starts.dtype), side="right")
        borders = np.concatenate(([low], self.starts[first:last], [high]))
        band: np.ndarray = np.repeat(self.table[self.codes[first - 1 : last]], np.diff(borders))
        return band.reshape(-1, self.width)[:, columns]


def _smallest(channel: np.ndarray) -> _Plain | _Codes | _Runs:
    flat = channel.reshape(-1)
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    if len(starts) * 12 < flat.size:  # a start of 4 or 8 bytes and a code of up to 4 a run, against a byte a pixel
        return _Runs(channel, starts)
    table, codes = np.unique(flat, return_inverse=True)
    if len(table) > 2**16:
        return _Plain(channel.copy())
    return _Codes(table, codes.reshape(channel.shape).astype(np.uint8 if len(table) <= 2**8 else np.uint16))
