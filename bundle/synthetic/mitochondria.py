"""Mitochondria: middle lines that find their way through a cell, and what is painted around them."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from skimage.measure import label

from bundle.synthetic.body import Body, Points, occupy, tube
from bundle.synthetic.cells import Cells
from bundle.synthetic.scene import Field, Scene
from bundle.synthetic.tissue_style import MitochondrionStyle

MOST_ATTEMPTS = 400
NARROWEST = 50.0
"""Smallest radius in nm of a mitochondrion."""

TURNS = (0.0, 0.35, -0.35, 0.7, -0.7)
"""Turns in radians that a middle line tries in order to stay in its cell."""

FULLEST = 0.5
"""Largest share of the room for organelles that mitochondria take."""

TRIES = 8
"""Places to look at before a mitochondrion is made narrower than drawn."""

SMALLEST = 4
"""Fewer pixels than this are no instance."""

EIGHT = np.ones((3, 3), bool)


def paint_mitochondria(scene: Scene, cells: Cells, style: MitochondrionStyle) -> None:
    """Paint mitochondria until their share of the area is reached or no more are placed.

    Args:
        scene: where to paint; ``instances`` and ``room`` are updated. Each instance is one 8-connected component.
        cells: the cells; empty ones, vessels and muscle filaments hold none.
        style: how mitochondria look.
    """
    rng = scene.rng
    pixels, chances = _starts(scene, cells, style)
    wanted, covered, last = min(style.share * scene.instances.size, FULLEST * len(pixels)), 0, None
    for _ in range(MOST_ATTEMPTS if len(pixels) else 0):
        if covered >= wanted:
            break
        radius = max(0.5 * style.width * np.exp(style.width_spread * rng.standard_normal()), NARROWEST)
        start = _start(scene, pixels, chances, last, radius + style.clearance, style.clustering)
        lines = _lines(scene, start, radius, style)
        if not lines:
            continue
        body = _join([tube(scene, points, radii, style.wobble, radius + 100.0) for points, radii in lines])
        if body is None or not _is_free(scene, body):
            continue
        inside = body.depth > 0
        scene.instances[body.window][inside] = scene.instances.max() + 1
        occupy(scene, body)
        _paint(scene, body, radius, style)
        covered += int(inside.sum())
        last = start
    _number(scene)
    scene.painted["mitochondrion"] += int(np.count_nonzero(scene.instances))


def _starts(scene: Scene, cells: Cells, style: MitochondrionStyle) -> tuple[NDArray[np.int64], Field]:
    """Pixels where a mitochondrion may begin, and running sums of their chances: rich cells have more, some none."""
    pixels = np.flatnonzero(scene.room > NARROWEST + style.clearance)
    owners = cells.owner.ravel()[pixels]
    share = np.bincount(owners, minlength=len(cells.kind)) / max(len(pixels), 1)
    has_some = scene.rng.random(len(cells.kind)) < np.maximum(0.8, 4 * share)
    wealth = np.exp(scene.rng.standard_normal(len(cells.kind))) * has_some
    chances = np.cumsum(wealth[owners] + 1e-6)
    return pixels, chances.astype(np.float32)


def _start(
    scene: Scene, pixels: NDArray[np.int64], chances: Field, last: Points | None, limit: float, clustering: float
) -> Points:
    """The first of a few places with room, else the widest of them: in thin processes all mitochondria are thin."""
    places: list[Points] = []
    for _ in range(TRIES):
        if last is not None and scene.rng.random() < clustering:
            places.append(_beside(scene, last, limit, scene.rng))
        else:
            places.append(_draw(pixels, chances, scene, scene.rng))
        if _room(scene, places[-1]) > limit:
            return places[-1]
    return max(places, key=lambda place: _room(scene, place))


def _draw(pixels: NDArray[np.int64], chances: Field, scene: Scene, rng: np.random.Generator) -> Points:
    index = min(int(np.searchsorted(chances, rng.random() * chances[-1])), len(pixels) - 1)
    row, column = divmod(int(pixels[index]), scene.shape[1])
    return (np.array([row, column]) + rng.random(2)) * scene.pixel_size


def _beside(scene: Scene, last: Points, radius: float, rng: np.random.Generator) -> Points:
    angle = rng.uniform(0, 2 * np.pi)
    size = np.array(scene.shape) * scene.pixel_size
    return np.clip(last + rng.uniform(1.5, 4.0) * radius * np.array([np.sin(angle), np.cos(angle)]), 0, size - 1)


def _lines(scene: Scene, start: Points, radius: float, style: MitochondrionStyle) -> list[tuple[Points, Points]]:
    """Middle lines with their radii: one, or two where it branches; none where it does not fit."""
    rng = scene.rng
    radius = min(radius, _room(scene, start) - style.clearance)
    if radius < NARROWEST:
        return []
    long = rng.random() < style.long_share
    length = rng.exponential(style.length) if long else 2 * radius * rng.exponential(0.5)
    heading = rng.uniform(0, 2 * np.pi)
    limit = radius + style.clearance
    halves = [_walk(scene, start, heading + turn, length / 2, limit, style.curl, rng) for turn in (np.pi, 0.0)]
    points = np.concatenate([halves[0][::-1], halves[1][1:]])
    lines = [(points, _radii(points, radius, rng))]
    if long and len(points) > 6 and rng.random() < style.branching:
        knee = int(rng.integers(2, len(points) - 2))
        way = points[knee + 1] - points[knee - 1]
        aside = np.arctan2(way[0], way[1]) + rng.choice((-1.0, 1.0)) * rng.uniform(0.6, 1.4)
        branch = _walk(scene, points[knee], aside, rng.uniform(2, 6) * radius, limit, style.curl, rng)
        lines.append((branch, np.full(len(branch), 0.85 * radius)))
    return lines


def _walk(
    scene: Scene, start: Points, heading: float, length: float, limit: float, curl: float, rng: np.random.Generator
) -> Points:
    """Points of a bent line that keeps ``limit`` nm away from everything; it may leave the image."""
    step = max(0.4 * limit, scene.pixel_size)
    points, place = [start], start
    for _ in range(int(length / step)):
        heading += curl * np.sqrt(step / 1000) * rng.standard_normal()
        for turn in TURNS:
            next_place = place + step * np.array([np.sin(heading + turn), np.cos(heading + turn)])
            if _room(scene, next_place) > limit:
                break
        else:
            break
        heading, place = heading + turn, next_place
        points.append(place)
        if _outside(scene, place) > 2 * limit:
            break
    return np.array(points)


def _room(scene: Scene, place: Points) -> float:
    row = min(max(int(place[0] / scene.pixel_size), 0), scene.shape[0] - 1)
    column = min(max(int(place[1] / scene.pixel_size), 0), scene.shape[1] - 1)
    return float(scene.room[row, column])


def _outside(scene: Scene, place: Points) -> float:
    size = np.array(scene.shape) * scene.pixel_size
    return float(np.max(np.maximum(-place, place - size)))


def _radii(points: Points, radius: float, rng: np.random.Generator) -> Points:
    """Half widths along the line: tapered ends, and sometimes a waist."""
    at = np.linspace(-1, 1, len(points))
    taper = np.sqrt(1 - rng.choice((0.0, 0.3, 0.6)) * at**2) if len(points) > 2 else np.ones(len(points))
    waves = rng.uniform(0, 0.15) * np.sin(at * rng.uniform(2, 8) + rng.uniform(0, 2 * np.pi))
    return np.asarray(radius * taper * (1 + waves) / (1 + np.abs(waves).max(initial=0)))


def _join(bodies: list[Body | None]) -> Body | None:
    """One outline of several; the first one's coordinates, where a further one does not reach deeper."""
    found = [body for body in bodies if body is not None]
    if len(found) < 2:
        return found[0] if found else None
    low = [min(body.window[k].start for body in found) for k in range(2)]
    high = [max(body.window[k].stop for body in found) for k in range(2)]
    shape = (high[0] - low[0], high[1] - low[1])
    depth, along, across = np.full(shape, -1e4, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for body in found:
        inner = tuple(slice(part.start - a, part.stop - a) for part, a in zip(body.window, low, strict=True))
        deeper = body.depth > depth[inner]
        for joint, part in ((depth, body.depth), (along, body.along), (across, body.across)):
            joint[inner][deeper] = part[deeper]
    return Body((slice(low[0], high[0]), slice(low[1], high[1])), depth, along, across)


def _is_free(scene: Scene, body: Body) -> bool:
    """Whether a body lies on free ground, with a pixel between it and other mitochondria."""
    inside = body.depth > 0
    if not inside.any() or scene.room[body.window][inside].min() <= 0:
        return False
    return not (binary_dilation(inside, EIGHT) & (scene.instances[body.window] > 0)).any()


def _paint(scene: Scene, body: Body, radius: float, style: MitochondrionStyle) -> None:
    """Matrix, cristae, granules, and two membranes with a light space between."""
    rng, shape = scene.rng, body.depth.shape
    smear = np.minimum(scene.slant[body.window], radius)
    swollen = rng.random() < style.swollen_share
    level = style.level + style.level_spread * rng.standard_normal() + (0.25 if swollen else 0.0)
    inside = level + style.texture * scene.noise(12.0, shape)
    cristae = _cristae(scene, body, radius, style, swollen)
    inside = inside + style.cristae_level * cristae
    if rng.random() < style.granules:
        inside = inside - 0.3 * np.clip(3 * (scene.noise(22.0, shape) - 2.0), 0, 1)
    scene.lay(inside, scene.cover(body.depth, 0.3 * smear), body.window)
    strength = np.clip(0.9 + 0.25 * scene.noise(150.0, shape), 0.2, 1)
    width = style.wall_width
    for distance, share in ((0.5 * width, 1.0), (1.5 * width + style.wall_gap, 0.7)):
        wall = scene.line(body.depth - distance, width, smear) * share * strength
        scene.lay(style.wall_level, wall, body.window)
    scene.note("crista", cristae * (body.depth > 0))


def _cristae(scene: Scene, body: Body, radius: float, style: MitochondrionStyle, swollen: bool) -> Field:
    """Cristae as sheets: across, along, or in rings; each reaches in from one side."""
    rng, shape, period = scene.rng, body.depth.shape, style.cristae_period * scene.rng.uniform(0.8, 1.25)
    bend = style.cristae_disorder * period * (scene.noise(0.6 * radius, shape) + 0.4 * scene.noise(0.5 * period, shape))
    kind = rng.random()
    if kind < 0.1:
        coordinate = body.depth  # rings
    elif kind < 0.1 + 0.9 * style.cristae_along:
        coordinate = body.across
    else:
        tilt = rng.normal(0, 0.25)
        coordinate = body.along * np.cos(tilt) + body.across * np.sin(tilt)
    phase = (coordinate + bend) / period + rng.random()
    number = np.floor(phase + 0.5)
    distance = np.abs(phase - number) * period
    # A sheet ends somewhere on its way through; neighbours come from either side.
    end = radius * (0.35 + 0.8 * scene.noise(0.5 * radius, shape))
    side = np.where(number % 2 > 0, body.across, -body.across)
    present = np.clip((side + end) / 30.0, 0, 1) * _share(
        scene, style.cristae_share * (0.4 if swollen else 1), shape, radius
    )
    inner = np.clip((body.depth - style.wall_gap - style.wall_width) / 15.0, 0, 1)
    smear = np.minimum(scene.slant[body.window], 0.6 * period)
    return np.asarray(scene.line(distance, style.cristae_width, smear) * present * inner, np.float32)


def _share(scene: Scene, share: float, shape: tuple[int, ...], radius: float) -> Field:
    """Soft patches that cover about a share of a window."""
    patches = 0.5 + 2.0 * (share - 0.5) + 0.7 * scene.noise(0.5 * radius, shape)
    return np.asarray(np.clip(patches, 0, 1), np.float32)


def _number(scene: Scene) -> None:
    """Number the 8-connected components: the edge of the image may have cut a mitochondrion in two."""
    parts = label(scene.instances > 0, connectivity=2)
    sizes = np.bincount(parts.ravel())
    kept = sizes >= SMALLEST
    kept[0] = False
    numbers = np.cumsum(kept) * kept
    scene.instances = numbers[parts].astype(np.int32)
