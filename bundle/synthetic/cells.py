"""Cells as the parts of a bent power diagram: their membranes, what is between them, sheaths, vessels and fibres."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from bundle.synthetic.scene import Field, Scene
from bundle.synthetic.tissue_style import CellStyle

PLAIN, DARK, EMPTY, VESSEL, FIBRIL = range(5)
"""Kinds of profiles."""

NEIGHBOURS = 6
MOST_CELLS = 2500

FAR = 1e5
"""Distance in nm where there is nothing near."""


@dataclass(frozen=True)
class Cells:
    """Which cell a pixel lies in.

    Args:
        owner: number of the cell (H,W).
        depth: distance in nm (H,W) to the surface of the cell, negative between cells.
        kind: kind of each cell.
        level: gray level of the cytoplasm of each cell.
        axis: coordinate in nm (H,W) along the common direction of the cells, bent as they are.
        across: coordinate in nm (H,W) across it.
    """

    owner: NDArray[np.int64]
    depth: Field
    kind: NDArray[np.int64]
    level: Field
    axis: Field
    across: Field

    def of_kind(self, *kinds: int) -> NDArray[np.bool_]:
        """Pixels inside of cells of these kinds."""
        return np.isin(self.kind, kinds)[self.owner] & (self.depth > 0)


def paint_cells(scene: Scene, style: CellStyle, slant: float) -> Cells:
    """Paint cells with plain cytoplasm, their membranes, and what is between them.

    Args:
        scene: where to paint; ``slant`` and ``room`` are set.
        style: how cells look.
        slant: section thickness in nm.

    Returns:
        The cells.
    """
    rng = scene.rng
    length = max(style.size, 4 * scene.pixel_size)
    steep = np.clip(np.exp(0.8 * scene.noise(0.5 * length)) - 0.8, 0, 4)
    scene.slant = (slant * steep).astype(np.float32)
    across, axis, stretch = _frame(scene, style)
    centres, radii = _sites(scene, style, across, axis)
    owner, other, distance = _diagram(centres, radii, across, axis, stretch, style, rng)
    half_gap = 0.5 * style.gap + style.bulge * np.maximum(scene.noise(0.7 * length) - 0.5, 0)
    depth = (distance - half_gap + style.ruffle * 0.3 * scene.noise(60.0)).astype(np.float32)
    kind = _kinds(style, centres, radii, rng)
    spread = style.level_spread * rng.standard_normal(len(kind))
    level = np.where(kind == DARK, style.dark_level, style.level) + spread
    level[kind == EMPTY] = style.empty_level
    level[kind == VESSEL] = style.empty_level + 0.5 * spread[kind == VESSEL]
    cells = Cells(owner, depth, kind, level.astype(np.float32), axis, across)
    _paint_inside(scene, cells, other, style)
    sheathed = _paint_sheaths(scene, cells, style, radii)
    _paint_membranes(scene, cells, style, sheathed)
    _paint_vessels(scene, cells, style)
    free = cells.of_kind(PLAIN, DARK) & (depth > style.membrane_width + style.myelin_thickness * sheathed[owner])
    scene.room = _distance_to_other(free, scene.pixel_size)
    return cells


def _distance_to_other(free: NDArray[np.bool_], pixel_size: float) -> Field:
    """Distance in nm to the next pixel that is not free. Beyond the image it goes on as at the edge."""
    if free.all():
        return np.full(free.shape, FAR, np.float32)
    return np.asarray(distance_transform_edt(free) * pixel_size, np.float32)


def _frame(scene: Scene, style: CellStyle) -> tuple[Field, Field, Field]:
    """Bent coordinates across and along the cells, and the 2 x 2 matrix of their derivatives (2,2,H,W)."""
    rows, columns = (np.indices(scene.shape, np.float32) + 0.5) * scene.pixel_size
    length = max(0.6 * style.size, 3 * scene.pixel_size)
    reach = style.curl * style.size
    y, x = (
        place + reach * (scene.noise(length) + 0.25 * scene.noise(0.25 * length)) + style.ruffle * scene.noise(120.0)
        for place in (rows, columns)
    )
    cosine, sine = np.cos(style.direction), np.sin(style.direction)
    squeeze = np.sqrt(style.elongation)
    across, axis = (y * cosine - x * sine) * squeeze, (x * cosine + y * sine) / squeeze
    derivatives = np.stack([np.gradient(across, scene.pixel_size), np.gradient(axis, scene.pixel_size)])
    return across.astype(np.float32), axis.astype(np.float32), derivatives.astype(np.float32)


def _sites(scene: Scene, style: CellStyle, across: Field, axis: Field) -> tuple[Field, Field]:
    """Centres (N,2) and radii (N,) of discs that fill the frame; the large ones keep clear of each other."""
    rng = scene.rng
    low = np.array([across.min(), axis.min()]) - style.size
    high = np.array([across.max(), axis.max()]) + style.size
    area = float(np.prod(high - low))
    mean_square = 0.25 * style.size**2 * np.exp(0.5 * style.spread**2)
    number = int(np.clip(area / (np.pi * mean_square), 4, MOST_CELLS))
    radii = np.sort(0.5 * style.size * np.exp(style.spread * rng.standard_normal(number)))[::-1]
    radii *= np.sqrt(area / (np.pi * np.sum(radii**2)))
    centres = rng.uniform(low, high, (number, 6, 2))
    chosen = np.empty((number, 2))
    for index in range(number):
        near = slice(0, min(index, 300))  # the largest, which are placed first
        if index == 0:
            chosen[0] = centres[0, 0]
            continue
        gaps = np.linalg.norm(centres[index, :, None] - chosen[None, near], axis=-1) - radii[near]
        chosen[index] = centres[index, np.argmax(gaps.min(axis=1))]
    return chosen.astype(np.float32), radii.astype(np.float32)


def _diagram(
    centres: Field, radii: Field, across: Field, axis: Field, stretch: Field, style: CellStyle, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], Field]:
    """The cell of each pixel, the cell next to it, and the distance in nm to that, corners rounded."""
    weight = radii**2
    lifted = np.column_stack([centres, np.sqrt(weight.max() - weight)])
    query = np.stack([across, axis, np.zeros_like(axis)], axis=-1)
    number = min(NEIGHBOURS, len(centres))
    power, site = cKDTree(lifted).query(query, k=number)
    power = power.astype(np.float32) ** 2
    joined = _joined(centres, style.merging, rng)
    cell = joined[site]
    vector = centres[site[..., 1:]] - centres[site[..., :1]]
    apart = np.maximum(np.linalg.norm(vector, axis=-1), 1e-3)
    normal = vector / apart[..., None]
    # The bent frame stretches distances: the slope of the distance to a bisector is its normal times the derivatives.
    slope = np.hypot(*(np.einsum("hwkf,fhw->hwk", normal, stretch[:, axis_]) for axis_ in range(2)))
    distance = (power[..., 1:] - power[..., :1]) / (2 * apart * np.maximum(slope, 0.3))
    distance = np.where(cell[..., 1:] == cell[..., :1], np.float32(FAR), distance)
    nearest = distance.min(axis=-1)
    other = np.take_along_axis(cell[..., 1:], distance.argmin(axis=-1)[..., None], axis=-1)[..., 0]
    soft = max(style.rounding, 1.0)
    crowd = np.exp(-(distance - nearest[..., None]) / soft).sum(axis=-1)
    return cell[..., 0], other, (nearest - soft * np.log(crowd)).astype(np.float32)


def _joined(centres: Field, merging: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """The cell of each site: some sites belong to the cell of a neighbour that is not itself joined."""
    cell = np.arange(len(centres))
    if merging <= 0 or len(centres) < 3:
        return cell
    _, nearest = cKDTree(centres).query(centres, k=2)
    joins = rng.random(len(centres)) < merging
    joins[: max(1, len(centres) // 50)] = False
    free = joins & ~joins[nearest[:, 1]]
    cell[free] = nearest[free, 1]
    return cell


def _kinds(style: CellStyle, centres: Field, radii: Field, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw the kind of each cell; empty ones lie together."""
    number = len(centres)
    kind = np.where(rng.random(number) < style.dark_share, DARK, PLAIN)
    kind[rng.random(number) < style.fibril_share] = FIBRIL
    if style.empty_share > 0:
        heart = centres[rng.integers(number)]
        far = np.linalg.norm(centres - heart, axis=1) * rng.uniform(0.6, 1.4, number)
        area = radii**2
        order = np.argsort(far)
        reached = np.cumsum(area[order]) / area.sum()
        kind[order[reached < style.empty_share]] = EMPTY
    large = radii > 900
    kind[large & (rng.random(number) < style.vessel_share)] = VESSEL
    return kind


def _paint_inside(scene: Scene, cells: Cells, other: NDArray[np.int64], style: CellStyle) -> None:
    between = style.gap_level + 0.04 * scene.noise(40.0)
    inside = cells.level[cells.owner]
    bare = cells.kind == EMPTY
    empty = bare[cells.owner]
    # Resin reaches up to the membranes of the cells beside it.
    between = np.where(empty | bare[other], style.empty_level, between)
    scene.canvas[:] = between + scene.cover(cells.depth) * (inside - between)
    scene.note("resin", empty)
    scene.note("gap", ~empty & (cells.depth < 0))
    fibril = cells.of_kind(FIBRIL)
    if fibril.any():
        _paint_fibrils(scene, cells, style, fibril)


def _paint_fibrils(scene: Scene, cells: Cells, style: CellStyle, fibril: NDArray[np.bool_]) -> None:
    """Bands of a sarcomere across the fibre, and filaments along it."""
    period = scene.rng.uniform(1600, 2600)
    stain = max(style.level - style.membrane_level, 0.15)
    true_axis = cells.axis * np.sqrt(style.elongation)
    phase = np.abs((true_axis / period + 0.03 * scene.noise(300.0)) % 1 - 0.5) * period
    band = -0.3 * stain * scene.cover(0.28 * period - phase, 60.0)
    disc = -0.8 * stain * scene.line(phase - 0.5 * period, 70.0)
    wide = 0.12 * stain * scene.line(phase, 120.0)
    streaks = cells.across / np.sqrt(style.elongation) / 60.0 + 0.6 * scene.noise(150.0)
    fine = 0.12 * stain * scene.resolved(60.0) * np.sin(2 * np.pi * streaks)
    texture = 0.1 * stain * scene.noise(12.0)
    scene.canvas += fibril * (band + disc + wide + fine + texture).astype(np.float32)
    scene.note("fibril", fibril)


def _paint_sheaths(scene: Scene, cells: Cells, style: CellStyle, radii: Field) -> NDArray[np.bool_]:
    """Wrap some cells in myelin; returns which cells."""
    wrapped = (scene.rng.random(len(radii)) < style.myelin_share) & np.isin(cells.kind, (PLAIN, DARK))
    wrapped &= radii > 1.3 * style.myelin_thickness
    if not wrapped.any():
        return wrapped
    thickness = style.myelin_thickness
    sheath = wrapped[cells.owner] * scene.cover(np.minimum(cells.depth, thickness - cells.depth))
    waves = 0.5 * scene.resolved(style.myelin_period) * np.cos(2 * np.pi * cells.depth / style.myelin_period)
    split = scene.patches(0.08, 150.0) * scene.line(cells.depth - 0.5 * thickness, 0.2 * thickness)
    contrast = max(0.1, style.level - style.myelin_level)
    scene.lay(
        style.myelin_level + contrast * (0.35 * (waves + scene.resolved(style.myelin_period) * 0.5) + split), sheath
    )
    scene.note("myelin", sheath)
    return wrapped


def _paint_membranes(scene: Scene, cells: Cells, style: CellStyle, sheathed: NDArray[np.bool_]) -> None:
    """Membranes, smeared where they are slanted, and synaptic densities."""
    bare = np.isin(cells.kind, (EMPTY, VESSEL))[cells.owner]
    surface = cells.depth - 0.5 * style.membrane_width
    strength = np.clip(1 + 0.2 * scene.noise(150.0), 0.3, 1)
    line = scene.line(surface, style.membrane_width, scene.slant) * strength * ~bare
    line = np.maximum(
        line, sheathed[cells.owner] * scene.line(surface - style.myelin_thickness, 1.5 * style.membrane_width)
    )
    if style.gap < 2 * scene.pixel_size and not bare.all():
        # Two membranes share the pixels of a narrow gap.
        line = np.minimum(1.0, line * (1 + np.exp(-np.square(style.gap / scene.pixel_size))))
    scene.lay(style.membrane_level, line)
    scene.note("membrane", line + 0.3)
    density = scene.patches(style.synapse_share, 120.0, 0.15) * scene.cover(45.0 - np.abs(cells.depth - 25.0), 25.0)
    density = density * cells.of_kind(PLAIN)
    scene.lay(style.membrane_level, 0.8 * density)
    scene.note("synapse", density)


def _paint_vessels(scene: Scene, cells: Cells, style: CellStyle) -> None:
    """Endothelium around a lumen, sometimes with a red blood cell in it."""
    vessel = cells.of_kind(VESSEL)
    if not vessel.any():
        return
    wall = 220.0 + 60.0 * scene.noise(400.0)
    ring = vessel * scene.cover(wall - cells.depth)
    scene.lay(style.level - 0.08 + 0.05 * scene.noise(25.0), ring)
    for edge in (0.5 * style.membrane_width, wall):
        scene.lay(style.membrane_level, vessel * scene.line(cells.depth - edge, style.membrane_width, scene.slant))
    scene.note("vessel", vessel)
    if scene.rng.random() < 0.5:
        blood = vessel * scene.cover(cells.depth - wall - 350.0 - 150.0 * scene.noise(600.0))
        scene.lay(style.membrane_level + 0.05, blood)
        scene.note("blood cell", blood)
