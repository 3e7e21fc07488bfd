"""Outlines of organelles: tubes of varying width along a bent line."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from bundle.synthetic.scene import Field, Scene, Window

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Body:
    """A closed outline in a window of the image.

    Args:
        window: rows and columns of the image that the arrays below cover.
        depth: distance in nm to the outline, positive inside.
        along: coordinate in nm along the middle line.
        across: signed distance in nm from the middle line.
    """

    window: Window
    depth: Field
    along: Field
    across: Field


def tube(scene: Scene, points: Points, radii: Points, wobble: float = 0.0, margin: float = 0.0) -> Body | None:
    """Make the outline around a line of points.

    Args:
        scene: the image.
        points: (N,2) row and column in nm of points along the middle line; they may lie outside of the image.
        radii: half of the width in nm at each point.
        wobble: roughness of the outline relative to the radius.
        margin: distance in nm around the outline that the window covers too.

    Returns:
        The body, or None if no pixel of its window lies in the image.
    """
    pixel = scene.pixel_size
    points, radii, along = _dense(points, radii, pixel)
    reach = 1.3 * radii.max() + margin + 2 * pixel
    low = np.floor((points.min(axis=0) - reach) / pixel).astype(int)
    high = np.ceil((points.max(axis=0) + reach) / pixel).astype(int) + 1
    inner = tuple(slice(max(a, 0), min(b, n)) for a, b, n in zip(low, high, scene.shape, strict=True))
    if any(part.stop <= part.start for part in inner):
        return None
    seeds = np.full(high - low, -1)
    rows, columns = np.floor(points / pixel).astype(int).T - low[:, None]
    seeds[rows, columns] = np.arange(len(points))
    indices = distance_transform_edt(seeds < 0, return_distances=False, return_indices=True)
    crop = tuple(slice(part.start - a, part.stop - a) for part, a in zip(inner, low, strict=True))
    nearest = seeds[tuple(indices)][crop]
    tangents = np.gradient(points, axis=0) if len(points) > 1 else np.array([[0.0, 1.0]])
    tangents /= np.maximum(np.linalg.norm(tangents, axis=1, keepdims=True), 1e-6)
    place = (np.moveaxis(np.mgrid[inner], 0, -1) + 0.5) * pixel
    offset = place - points[nearest]
    direction = tangents[nearest]
    forward = np.einsum("hwc,hwc->hw", offset, direction)
    across = offset[..., 0] * direction[..., 1] - offset[..., 1] * direction[..., 0]
    # Between two points the distance is that to the line, beyond the ends that to the end.
    beyond = np.where(nearest == 0, -forward, 0) + np.where(nearest == len(points) - 1, forward, 0)
    if len(points) == 1:
        beyond = np.abs(forward)
    depth = radii[nearest] - np.hypot(across, np.maximum(beyond, np.abs(forward) - pixel).clip(0))
    if wobble > 0:
        depth = depth + wobble * radii.mean() * scene.noise(0.7 * float(radii.mean()), depth.shape)
    return Body(
        (inner[0], inner[1]),
        depth.astype(np.float32),
        (along[nearest] + forward).astype(np.float32),
        across.astype(np.float32),
    )


def blob(
    scene: Scene, centre: Points, radius: float, elongation: float, wobble: float, margin: float = 0.0
) -> Body | None:
    """Make a round to oval outline in a random direction."""
    angle = scene.rng.uniform(0, np.pi)
    half = max(elongation - 1, 0.0) * radius
    way = np.array([np.sin(angle), np.cos(angle)]) * half
    points = centre + np.linspace(-1, 1, 9)[:, None] * way
    taper = np.sqrt(1 - 0.5 * np.linspace(-1, 1, 9) ** 2) if elongation > 1.3 else np.ones(9)
    return tube(scene, points, radius * taper, wobble, margin)


def fits(scene: Scene, body: Body, clearance: float) -> bool:
    """Whether a body keeps its distance from all that it must not touch."""
    inside = body.depth > 0
    return bool(inside.any()) and float(scene.room[body.window][inside].min()) > clearance


def occupy(scene: Scene, body: Body) -> None:
    """Take the ground of a body, so that nothing else is put there."""
    room = scene.room[body.window]
    np.minimum(room, np.maximum(-body.depth, 0), out=room)


def _dense(points: Points, radii: Points, step: float) -> tuple[Points, Points, Points]:
    """Put points closer together than ``step``; returns them, their radii and the way along the line."""
    way = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    number = max(int(2 * way[-1] / step), 1) + 1
    if way[-1] <= 0:
        return points[:1], radii[:1], way[:1]
    at = np.linspace(0, way[-1], number)
    dense = np.stack([np.interp(at, way, points[:, k]) for k in range(2)], axis=1)
    return dense, np.interp(at, way, radii), at
