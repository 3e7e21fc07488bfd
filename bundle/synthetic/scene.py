"""An image in the making: its pixel grid in nanometres, random fields, and soft lines and edges at any pixel size."""

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fftfreq as full_frequencies
from scipy.fft import irfft2, next_fast_len, rfft2, rfftfreq

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]
Window = tuple[slice, slice]

BOX = 12**-0.5
"""Standard deviation of a box of width 1."""


class Scene:
    """The canvas, and what is known of it.

    Args:
        shape: (H, W) in pixels.
        pixel_size: nanometres per pixel.
        rng: source of every random draw.

    Attributes:
        canvas: gray levels (H,W) float32.
        slant: width in nm (H,W) over which a membrane that is cut at a slant is smeared.
        room: distance in nm (H,W) to the next thing that an organelle must not touch.
        instances: (H,W) int32, 0 or the number of the mitochondrion.
        painted: number of pixels that each kind of object got.
    """

    def __init__(self, shape: tuple[int, int], pixel_size: float, rng: np.random.Generator) -> None:
        self.shape = shape
        self.pixel_size = pixel_size
        self.rng = rng
        self.canvas: Field = np.zeros(shape, np.float32)
        self.slant: Field = np.zeros(shape, np.float32)
        self.room: Field = np.zeros(shape, np.float32)
        self.instances = np.zeros(shape, np.int32)
        self.painted: Counter[str] = Counter()

    @property
    def area(self) -> float:
        """Area of the image in square micrometres."""
        return self.shape[0] * self.shape[1] * (self.pixel_size / 1000) ** 2

    def noise(self, length: float, shape: tuple[int, ...] | None = None) -> Field:
        """Draw a Gaussian random field of mean 0 as a pixel sees it.

        Args:
            length: standard deviation in nm of the Gaussian that correlates the field.
            shape: (H, W) in pixels, default that of the image.

        Returns:
            Field (H,W) of standard deviation 1, less where the structure is smaller than a pixel.
        """
        shape = self.shape if shape is None else shape
        seen = float(np.hypot(length, BOX * self.pixel_size))
        sigma = seen / self.pixel_size
        size = [next_fast_len(int(n + min(3 * sigma, n)), real=True) for n in shape]
        spectrum = rfft2(self.rng.standard_normal(size, dtype=np.float32))
        rows, columns = full_frequencies(size[0])[:, None], rfftfreq(size[1])[None]
        transfer = np.exp(-2 * (np.pi * sigma) ** 2 * (rows**2 + columns**2)).astype(np.float32)
        field = irfft2(spectrum * transfer, size)[: shape[0], : shape[1]]
        white = float(np.sqrt(np.mean(np.square(transfer))))
        return np.asarray(field * (min(1.0, length / seen) / white), np.float32)

    def patches(self, share: float, length: float, softness: float = 0.3) -> Field:
        """Draw soft-edged patches, 0 outside and 1 inside, that cover about ``share`` of the image."""
        if share <= 0:
            return np.zeros(self.shape, np.float32)
        field = self.noise(length)
        lowest = np.quantile(field, 1 - min(share, 1.0))
        return np.asarray(np.clip((field - lowest) / softness + 0.5, 0, 1), np.float32)

    def count(self, density: float) -> int:
        """Draw a number of objects from their mean number for 100 square micrometres."""
        return int(self.rng.poisson(density * self.area / 100))

    def line(self, distance: Any, width: float, smear: Any = 0.0) -> Any:
        """Profile of a thin sheet as a pixel sees it.

        Args:
            distance: distance in nm to the middle of the sheet, any shape.
            width: thickness in nm.
            smear: further width in nm over which it is seen, as of a slanted sheet.

        Returns:
            How much of a pixel the sheet covers, 0 to 1.
        """
        sigma = BOX * np.sqrt(width**2 + self.pixel_size**2 + np.square(smear))
        return np.minimum(1.0, width / (2.5066 * sigma)) * np.exp(-0.5 * np.square(distance / sigma))

    def cover(self, depth: Any, smear: Any = 0.0) -> Any:
        """How much of a pixel lies inside of an edge, 0 to 1; ``depth`` in nm, positive inside."""
        return np.clip(depth / np.sqrt(self.pixel_size**2 + np.square(smear)) + 0.5, 0, 1)

    def resolved(self, period: float, smear: float = 0.0) -> float:
        """Contrast that is left of a fine pattern of this period in nm, 0 to 1."""
        sigma = BOX * np.hypot(self.pixel_size, smear)
        return float(np.exp(-2 * (np.pi * sigma / period) ** 2))

    def lay(self, value: Any, cover: Any, window: Window | None = None) -> None:
        """Lay a gray level over the canvas where ``cover`` is above 0."""
        part = self.canvas if window is None else self.canvas[window]
        part += cover * (value - part)

    def note(self, kind: str, cover: Any) -> None:
        """Count the pixels that a kind of object got."""
        self.painted[kind] += int(np.count_nonzero(cover > 0.5))


def level_lines(field: Field, spacing: float, pixel_size: float) -> tuple[Field, Field]:
    """Distance to the lines on which a smooth field is a multiple of ``spacing``.

    Args:
        field: smooth field (H,W).
        spacing: difference of the field from one line to the next.
        pixel_size: nanometres per pixel.

    Returns:
        The distance in nm to the next line, and the local distance between two lines in nm.
    """
    rows, columns = np.gradient(field)
    slope = np.maximum(np.hypot(rows, columns) / pixel_size, 1e-6)
    phase = np.abs((field / spacing + 0.5) % 1 - 0.5)
    return phase * spacing / slope, spacing / slope
