"""Moves the contours of a mask to the nearest edges of its image (morphological contour evolution)."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage
from skimage.segmentation import (
    inverse_gaussian_gradient,
    morphological_chan_vese,
    morphological_geodesic_active_contour,
)

from bundle.errors import SettingError

METHODS = ("chan_vese", "geodesic")


def evolve_mask(
    image: np.ndarray,
    mask: np.ndarray,
    method: str = "chan_vese",
    reach: float = 4.0,
    smoothing: int = 1,
    inside_weight: float = 4.0,
) -> np.ndarray:
    """Evolve a mask's contours to the edges of an image.

    Morphological Chan-Vese and geodesic active contours (Marquez-Neila et al., doi:10.1109/TPAMI.2013.106), by
    scikit-image. Contours stay within ``reach`` of where they began, so that other structures of the same brightness
    are not flooded and nothing appears where the mask had nothing; an object thinner than twice that may vanish.

    Chan-Vese compares a pixel with the mean of the inside and of the outside. Here these are local means, for no
    brightness of objects holds all over a section (as in Lankton and Tannenbaum, doi:10.1109/TIP.2008.2004611).
    Objects may be darker or brighter than what surrounds them. The scale and the offset of the image do not matter.

    Args:
        image: (X,Y) float.
        mask: (X,Y) bool.
        method: ``chan_vese``, or ``geodesic``, which follows gradients alone.
        reach: how far contours may move, in pixels. It sets all other lengths: the image is first smoothed by a
            Gaussian of standard deviation ``reach / 4``; Chan-Vese's local means use a Gaussian of 1.5 times ``reach``
            (objects and gaps should not be much larger); the number of steps is 2.5 times ``reach``, each moves a
            contour by at most about one pixel.
        smoothing: how often the contour is smoothed after a step.
        inside_weight: lambda1 of Chan-Vese, the weight of the squared difference to the inside's mean relative to that
            to the outside's. At 1 the border is halfway between both means. Larger values make objects smaller: the
            surroundings vary more than an object does, so parts of them look half like the object.

    Returns:
        (X,Y) bool.

    Raises:
        SettingError: the method is unknown, or ``reach`` is not above 0.
        ValueError: the shapes differ.
    """
    if method not in METHODS:
        raise SettingError(f"method is {method!r}: expected {' or '.join(METHODS)}")
    if image.shape != mask.shape or image.ndim != 2:
        raise ValueError(f"image and mask have shapes {image.shape} and {mask.shape}: expected the same (X,Y)")
    if not reach > 0:
        raise SettingError(f"reach of contours is {reach}: expected a number above 0")
    mask = np.asarray(mask, dtype=bool)
    image = np.asarray(image, dtype=np.float64)
    spread = image.std()
    if spread == 0 or not mask.any() or mask.all():
        return np.array(mask)
    image = (image - image.mean()) / spread  # so that scale and offset do not matter
    sigma, window = reach / 4, 1.5 * reach
    # distances to the nearest pixel of the other kind, which is half a pixel beyond the contour
    outside, inside = ndimage.distance_transform_edt(~mask), ndimage.distance_transform_edt(mask)
    movable = np.maximum(outside, inside) < reach + 1
    edges = inverse_gaussian_gradient(image, sigma=sigma) if method == "geodesic" else None
    smooth = ndimage.gaussian_filter(image, sigma)
    near = outside < 2 * window  # the background that Chan-Vese's local means are taken from
    evolved: np.ndarray = mask
    # Two steps at a time: scikit-image smooths with two operators in turn, and remembers across calls whose turn it is.
    for _ in range(math.ceil(1.25 * reach)):
        if edges is not None:
            moved = morphological_geodesic_active_contour(edges, 2, evolved, smoothing)
        else:
            moved = morphological_chan_vese(
                _membership(smooth, evolved, near, window), 2, evolved, smoothing, inside_weight
            )
        evolved = np.where(movable, moved > 0, mask)
    return evolved


def _membership(image: np.ndarray, mask: np.ndarray, near: np.ndarray, window: float) -> np.ndarray:
    """Similarity of a pixel to the local inside (1) and outside (-1), (X,Y) in [-2,2]; -1 where ``near`` is False."""
    inner, outer = _local_mean(image, mask, window), _local_mean(image, near & ~mask, window)
    difference = inner - outer
    # Where inside and outside look the same, the membership is 0 and the contour stays.
    difference = np.where(np.abs(difference) < 1e-3, np.inf, difference)
    return np.where(near, np.clip(2 * (image - (inner + outer) / 2) / difference, -2, 2), -1.0)


def _local_mean(image: np.ndarray, where: np.ndarray, window: float) -> np.ndarray:
    weight = where.astype(np.float64)
    total, area = ndimage.gaussian_filter(image * weight, window), ndimage.gaussian_filter(weight, window)
    mean: np.ndarray = total / (area + 1e-6)
    return mean
