"""Clicks as image channels."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform, Randomizable

from bundle import keys as K
from bundle.channels import em_of, prompted
from bundle.data.resampling import resampled_points
from bundle.errors import DataError, SettingError
from bundle.transforms.resampling import INPUT_SHAPE


def click_channels(shape: Sequence[int], points: Sequence[Sequence[float]], labels: Sequence[int]) -> torch.Tensor:
    """Draw clicks into two channels.

    Args:
        shape: (X, Y) of the image.
        points: (x, y) in pixels; the pixel that holds the position is set.
        labels: 1 foreground or 0 background for each point.

    Returns:
        (2,X,Y) float32 of 0 and 1, channel 0 foreground, channel 1 background.

    Raises:
        DataError: when a point lies outside, a label is neither 0 nor 1, or their numbers differ.
    """
    if len(points) != len(labels):
        raise DataError(f"{len(points)} points but {len(labels)} point labels")
    channels = torch.zeros(2, *shape)
    for point, label in zip(points, labels, strict=True):
        if label not in (0, 1):
            raise DataError(f"point label {label!r}: expected 1 (foreground) or 0 (background)")
        check_points(shape, [point])
        channels[1 - int(label), int(point[0]), int(point[1])] = 1.0
    return channels


def check_points(shape: Sequence[int], points: Sequence[Sequence[float]]) -> None:
    """Refuse points outside of an image.

    Args:
        shape: (X, Y) of the image.
        points: (x, y) in pixels.

    Raises:
        DataError: names the first of them.
    """
    for x, y in ((float(point[0]), float(point[1])) for point in points):
        if not (0 <= x < shape[0] and 0 <= y < shape[1]):
            raise DataError(f"point ({x:g}, {y:g}) lies outside the image of {shape[0]}x{shape[1]} pixels")


class AddClickChannelsd(MapTransform):
    """Append the clicks of an item to its image: (1,X,Y) to (3,X,Y), see :mod:`bundle.keys`.

    Clicks come from ``points`` and ``point_labels``, and from ``foreground`` and ``background``, the lists that a
    MONAI Label request carries. An item may have none. Without ``point_labels``, or with None, all ``points`` are
    foreground. All are in pixels of the file; of an image that was resampled the pixel is set that holds the centre of
    theirs.

    Args:
        keys: the image.
        max_points: the most clicks that the network takes, or None when windows or crops are checked elsewhere.

    Raises:
        DataError: for a click outside the image, more than ``max_points``, or if ``point_labels`` and ``points``
            differ in number.
    """

    def __init__(self, keys: str = K.IMAGE, max_points: int | None = None) -> None:
        super().__init__(keys)
        self.max_points = max_points

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its image extended."""
        d = dict(data)
        points = list(d.get(K.POINTS) or [])
        given = d.get(K.POINT_LABELS)
        labels = [1] * len(points) if given is None else list(given)
        if len(labels) != len(points):
            raise DataError(
                f"{len(points)} points but {len(labels)} point labels; leave them out if all are foreground"
            )
        for name, label in (("foreground", 1), ("background", 0)):
            extra = list(d.get(name) or [])
            points += extra
            labels += [label] * len(extra)
        if self.max_points is not None and len(points) > self.max_points:
            raise DataError(f"{len(points)} clicks on one image, but the network takes at most {self.max_points}")
        for key in self.key_iterator(d):
            image = d[key]
            shape = getattr(image, "meta", {}).get(INPUT_SHAPE)
            if shape is not None:
                check_points(shape, points)
                moved = resampled_points(points, shape, image.shape[1:])
            else:
                moved = points
            d[key] = prompted(em_of(image), click_channels(image.shape[1:], moved, labels).to(image))
        return d


class RandInstanceClicksd(Randomizable, MapTransform):
    """Click a random subset of the instances, at a random pixel of each: (1,X,Y) to (3,X,Y).

    The number of instances is uniform between none and all (Prompt-DAS trains with full, partial and no prompts), at
    most ``max_points``. Of images with many instances few then have no click, or all: the two ways in which a network
    is mostly used. ``bare_prob`` and ``complete_prob`` make them more.

    Args:
        keys: the image.
        max_points: the most clicks that the network takes.
        bare_prob: probability that nothing is clicked; 0 leaves that to the uniform number.
        complete_prob: probability that every instance is clicked; likewise.

    Raises:
        SettingError: when a probability is below 0, or their sum above 1.
    """

    def __init__(
        self, keys: str = K.IMAGE, max_points: int = 64, bare_prob: float = 0.0, complete_prob: float = 0.0
    ) -> None:
        MapTransform.__init__(self, keys)
        if min(bare_prob, complete_prob) < 0 or bare_prob + complete_prob > 1:
            raise SettingError(
                f"bare_prob is {bare_prob} and complete_prob {complete_prob}; expected probabilities with a sum of at "
                "most 1"
            )
        self.max_points = max_points
        self.bare_prob = bare_prob
        self.complete_prob = complete_prob

    def choose(self, instances: np.ndarray) -> list[tuple[int, int]]:
        """Draw the clicks in an instance map (X,Y)."""
        ids = np.unique(instances[instances > 0])
        count = min(self._count(len(ids)), self.max_points)
        chosen = self.R.permutation(ids)[:count]
        return [self._pixel(instances == i) for i in chosen]

    def _count(self, instances: int) -> int:
        """Draw how many of the instances are clicked."""
        if self.bare_prob + self.complete_prob > 0:
            kind = self.R.random_sample()
            if kind < self.bare_prob:
                return 0
            if kind < self.bare_prob + self.complete_prob:
                return instances
        return int(self.R.randint(instances + 1))

    def _pixel(self, inside: np.ndarray) -> tuple[int, int]:
        xs, ys = np.nonzero(inside)
        i = self.R.randint(len(xs))
        return int(xs[i]), int(ys[i])

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its image extended; needs ``instances``."""
        d = dict(data)
        points = self.choose(np.asarray(d[K.INSTANCES])[0].astype(np.int64))
        for key in self.key_iterator(d):
            image = d[key]
            drawn = click_channels(image.shape[1:], points, [1] * len(points)).to(image)
            d[key] = prompted(em_of(image), drawn)
        return d
