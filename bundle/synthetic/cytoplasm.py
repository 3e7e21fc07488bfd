"""What fills the cells: grain, ribosomes, filaments, endoplasmic reticulum, glycogen and synaptic vesicles."""

import numpy as np
from scipy.spatial import cKDTree

from bundle.synthetic.cells import DARK, PLAIN, Cells
from bundle.synthetic.scene import Field, Scene, level_lines
from bundle.synthetic.tissue_style import CytoplasmStyle

MOST_VESICLES = 4000


def paint_cytoplasm(scene: Scene, cells: Cells, style: CytoplasmStyle, membrane_level: float) -> None:
    """Fill the cells with texture and membranes of the reticulum.

    Args:
        scene: where to paint.
        cells: the cells.
        style: how the cytoplasm looks.
        membrane_level: gray level of membranes.
    """
    inside = scene.cover(np.minimum(cells.depth, scene.room)) * cells.of_kind(PLAIN, DARK)
    rich = np.exp(0.5 * scene.rng.standard_normal(len(cells.kind)))[cells.owner].astype(np.float32)
    texture = style.grain * scene.noise(style.grain_length) + style.mottle * scene.noise(style.mottle_length)
    scene.canvas += (inside * texture * np.minimum(rich, 1.6)).astype(np.float32)
    _specks(scene, style.ribosomes, style.ribosome_length, inside * rich)
    _filaments(scene, cells, style, inside)
    _glycogen(scene, style, inside)
    _reticulum(scene, style, inside, membrane_level)
    _rough_reticulum(scene, style, inside, membrane_level)
    _vesicles(scene, cells, style, inside, membrane_level)


def _specks(scene: Scene, darkness: float, length: float, where: Field) -> None:
    if darkness <= 0:
        return
    specks = np.clip(scene.noise(length) - 0.8, 0, 2)
    scene.canvas -= (darkness * specks * where).astype(np.float32)
    scene.note("ribosomes", specks * where)


def _filaments(scene: Scene, cells: Cells, style: CytoplasmStyle, inside: Field) -> None:
    if style.filaments <= 0:
        return
    phase = cells.across / style.filament_period + 0.5 * scene.noise(250.0)
    distance = np.abs((phase + 0.5) % 1 - 0.5) * style.filament_period
    where = inside * scene.patches(0.4, 500.0) * (scene.rng.random(len(cells.kind)) < 0.5)[cells.owner]
    line = scene.line(distance, 18.0, 12.0) * where
    scene.canvas -= (style.filaments * line * np.clip(0.6 + scene.noise(60.0), 0, 2)).astype(np.float32)
    scene.note("filaments", where * (distance < 30))


def _glycogen(scene: Scene, style: CytoplasmStyle, inside: Field) -> None:
    if style.glycogen > 0:
        _specks_in = inside * scene.patches(0.25, 350.0)
        specks = np.clip(scene.noise(16.0) - 0.3, 0, 1.5)
        scene.canvas -= (style.glycogen * specks * _specks_in).astype(np.float32)
        scene.note("glycogen", _specks_in)


def _reticulum(scene: Scene, style: CytoplasmStyle, inside: Field, level: float) -> None:
    """Tubules: two membranes along the zero lines of a random field, in patches."""
    if style.reticulum <= 0:
        return
    distance, spacing = level_lines(scene.noise(160.0), 1.2, scene.pixel_size)
    where = inside * scene.patches(style.reticulum, 130.0) * (spacing > 3 * style.reticulum_width)
    half = 0.5 * style.reticulum_width
    scene.lay(level + 0.35, 0.4 * scene.cover(half - distance) * where)
    scene.lay(level, 0.8 * scene.line(np.abs(distance - half), 7.0, scene.slant) * where)
    scene.note("smooth reticulum", where * (distance < half + scene.pixel_size))


def _rough_reticulum(scene: Scene, style: CytoplasmStyle, inside: Field, level: float) -> None:
    """Parallel sheets with ribosomes on both sides."""
    if style.rough_share <= 0:
        return
    angle = scene.rng.uniform(0, np.pi)
    rows, columns = np.indices(scene.shape, np.float32) * scene.pixel_size
    field = rows * np.cos(angle) - columns * np.sin(angle) + 350.0 * scene.noise(450.0) + 15.0 * scene.noise(90.0)
    distance, spacing = level_lines(field, style.rough_period, scene.pixel_size)
    fine = np.clip((spacing - 50.0) / 30.0, 0, 1) * np.clip((2.5 * style.rough_period - spacing) / 50.0, 0, 1)
    fine *= np.clip(1 + 1.5 * scene.noise(250.0), 0, 1)
    where = inside * scene.patches(style.rough_share, 450.0) * fine
    scene.lay(level + 0.3, 0.35 * scene.cover(14.0 - distance) * where)
    scene.lay(level, 0.8 * scene.line(np.abs(distance - 14.0), 8.0) * where)
    beads = np.clip(scene.noise(14.0) - 0.2, 0, 1.5) * scene.line(np.abs(distance - 26.0), 20.0)
    scene.canvas -= (0.25 * beads * where).astype(np.float32)
    scene.note("rough reticulum", where)


def _vesicles(scene: Scene, cells: Cells, style: CytoplasmStyle, inside: Field, level: float) -> None:
    """Small rings, close together in patches of some cells."""
    if style.vesicles <= 0 or style.vesicle_share <= 0:
        return
    rng = scene.rng
    chosen = (rng.random(len(cells.kind)) < 0.5)[cells.owner]
    cloud = inside * scene.patches(style.vesicle_share, 300.0) * chosen
    zone = cloud * (scene.room > 0.4 * style.vesicle_size)
    places = np.flatnonzero(zone > 0.5)
    number = min(int(style.vesicles * len(places) * (scene.pixel_size / 1000) ** 2), MOST_VESICLES)
    if number < 1:
        return
    scene.canvas -= (style.vesicle_haze * cloud).astype(np.float32)
    drawn = rng.choice(places, number)
    centres = (np.stack(np.divmod(drawn, scene.shape[1]), axis=1) + rng.random((number, 2))) * scene.pixel_size
    near = np.flatnonzero(zone > 0)
    pixels = (np.stack(np.divmod(near, scene.shape[1]), axis=1) + 0.5) * scene.pixel_size
    distance, index = cKDTree(centres).query(pixels, distance_upper_bound=style.vesicle_size + scene.pixel_size)
    found = np.isfinite(distance)
    radius = 0.5 * style.vesicle_size * (1 + 0.12 * rng.standard_normal(number))
    depth = radius[index[found]] - distance[found]
    part = scene.canvas.reshape(-1)
    core, ring = scene.cover(depth), scene.line(depth - 4.0, 8.0)
    values = part[near[found]]
    values = values + core * style.vesicle_level
    part[near[found]] = values + 0.9 * ring * (level - values)
    scene.painted["vesicle"] += int(np.count_nonzero(depth > 0))
