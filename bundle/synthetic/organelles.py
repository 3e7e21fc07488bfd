"""Bodies that are mistaken for mitochondria: lysosomes, multivesicular bodies, lipid, peroxisomes, vacuoles, whorls."""

from collections.abc import Callable

import numpy as np

from bundle.synthetic.body import Body, blob, fits, occupy
from bundle.synthetic.scene import Scene
from bundle.synthetic.tissue_style import OrganelleStyle

ATTEMPTS = 12
CLEARANCE = 15.0
"""Distance in nm that a body keeps from membranes and other bodies."""

Painter = Callable[[Scene, Body, float, OrganelleStyle, float], None]


def paint_organelles(scene: Scene, style: OrganelleStyle, membrane_level: float) -> None:
    """Paint bodies onto free ground.

    Args:
        scene: where to paint; ``room`` is updated.
        style: how many of each, and how they look.
        membrane_level: gray level of membranes.
    """
    rng = scene.rng
    for name, density, painter, scale, stretch, wobble in (
        ("golgi", style.golgi, _golgi, 0.9, 2.2, 0.1),
        ("lysosome", style.lysosomes, _lysosome, 1.0, 1.5, 0.2),
        ("multivesicular body", style.multivesicular_bodies, _multivesicular, 0.9, 1.3, 0.08),
        ("lipid droplet", style.lipid_droplets, _lipid, 1.1, 1.1, 0.04),
        ("peroxisome", style.peroxisomes, _peroxisome, 0.8, 1.3, 0.06),
        ("vacuole", style.vacuoles, _vacuole, 0.4, 2.5, 0.15),
        ("whorl", style.whorls, _whorl, 1.1, 1.4, 0.12),
        ("dense core", style.dense_cores, _dense_core, 0.22, 2.5, 0.1),
    ):
        for _ in range(scene.count(density)):
            radius = 0.5 * style.size * scale * np.exp(0.4 * rng.standard_normal())
            body = _place(scene, radius, rng.uniform(1.0, stretch), wobble)
            if body is not None:
                painter(scene, body, radius, style, membrane_level)
                occupy(scene, body)
                scene.note(name, body.depth > 0)


def _place(scene: Scene, radius: float, elongation: float, wobble: float) -> Body | None:
    """Try places until the outline fits; each failure makes the body smaller."""
    for _ in range(ATTEMPTS):
        centre = scene.rng.uniform((0, 0), np.array(scene.shape) * scene.pixel_size)
        row, column = (int(place / scene.pixel_size) for place in centre)
        if scene.room[row, column] < 0.6 * radius:
            continue
        body = blob(scene, centre, min(radius, float(scene.room[row, column])), elongation, wobble, 40.0)
        if body is not None and fits(scene, body, CLEARANCE):
            return body
    return None


def _membrane(scene: Scene, body: Body, level: float, strength: float = 1.0) -> None:
    smear = np.minimum(scene.slant[body.window], 60.0)
    scene.lay(level, strength * scene.line(body.depth - 4.0, 9.0, smear), body.window)


def _lysosome(scene: Scene, body: Body, radius: float, style: OrganelleStyle, level: float) -> None:
    """Dense and mottled, with darker clumps and light holes."""
    shape = body.depth.shape
    mottled = style.lysosome_level + 0.08 * scene.noise(0.25 * radius, shape) + 0.04 * scene.noise(12.0, shape)
    clumps = np.clip(2 * (scene.noise(0.3 * radius, shape) - 0.7), 0, 1)
    mottled = mottled + clumps * scene.rng.choice((-0.2, 0.3))
    scene.lay(mottled, scene.cover(body.depth), body.window)
    _membrane(scene, body, level, 0.8)


def _multivesicular(scene: Scene, body: Body, radius: float, style: OrganelleStyle, level: float) -> None:
    """Pale, with small vesicles inside."""
    shape = body.depth.shape
    scene.lay(level + scene.rng.uniform(0.2, 0.55), scene.cover(body.depth), body.window)
    field = scene.noise(22.0, shape)
    rings = np.exp(-np.square((field - 0.7) / 0.35)) * (body.depth > 25)
    scene.lay(level, 0.6 * rings * scene.resolved(60.0), body.window)
    _membrane(scene, body, level)


def _lipid(scene: Scene, body: Body, radius: float, style: OrganelleStyle, level: float) -> None:
    """Smooth, without a membrane."""
    value = style.lipid_level + 0.03 * scene.rng.standard_normal()
    scene.lay(value + 0.01 * scene.noise(30.0, body.depth.shape), scene.cover(body.depth, 20.0), body.window)
    if scene.rng.random() < 0.4:
        scene.lay(value - 0.15, 0.6 * scene.line(body.depth - 10.0, 20.0), body.window)


def _peroxisome(scene: Scene, body: Body, radius: float, style: OrganelleStyle, level: float) -> None:
    """Even gray with one membrane, sometimes with a dense core."""
    shape = body.depth.shape
    value = style.peroxisome_level + 0.04 * scene.rng.standard_normal()
    scene.lay(value + 0.025 * scene.noise(14.0, shape), scene.cover(body.depth), body.window)
    if scene.rng.random() < 0.35:
        scene.lay(value - 0.18, scene.cover(body.depth - 0.55 * radius, 20.0), body.window)
    _membrane(scene, body, level, 0.7)


def _vacuole(scene: Scene, body: Body, radius: float, style: OrganelleStyle, level: float) -> None:
    """Light, with a membrane."""
    value = level + scene.rng.uniform(0.35, 0.7)
    scene.lay(value + 0.02 * scene.noise(40.0, body.depth.shape), scene.cover(body.depth), body.window)
    _membrane(scene, body, level)


def _whorl(scene: Scene, body: Body, radius: float, style: OrganelleStyle, level: float) -> None:
    """Membranes in rings."""
    shape, period = body.depth.shape, scene.rng.uniform(14.0, 45.0)
    phase = 2 * np.pi * (body.depth / period + 0.3 * scene.noise(80.0, shape))
    light = level + scene.rng.uniform(0.1, 0.4)
    rings = 0.5 + 0.5 * scene.resolved(period) * np.cos(phase)
    scene.lay(light + (level - light) * rings, scene.cover(body.depth), body.window)


def _golgi(scene: Scene, body: Body, radius: float, style: OrganelleStyle, level: float) -> None:
    """A bent stack of flat sacs, with vesicles around it."""
    shape, period = body.depth.shape, scene.rng.uniform(50.0, 75.0)
    bend = body.across + scene.rng.choice((-1.0, 1.0)) * np.square(body.along - body.along.mean()) / (3.5 * radius)
    half = radius * scene.rng.uniform(0.35, 0.6)
    stack = scene.cover(half - np.abs(bend), 15.0) * scene.cover(body.depth, 20.0)
    distance = np.abs((bend / period + 0.08 * scene.noise(120.0, shape) + 0.5) % 1 - 0.5) * period
    scene.lay(level + 0.4, 0.5 * stack * scene.cover(0.18 * period - distance), body.window)
    scene.lay(level, 0.85 * stack * scene.line(np.abs(distance - 0.2 * period), 8.0), body.window)
    field = scene.noise(20.0, shape)
    rings = np.exp(-np.square((field - 1.1) / 0.3)) * (body.depth > 0) * (np.abs(bend) > half)
    scene.lay(level, 0.7 * rings, body.window)


def _dense_core(scene: Scene, body: Body, radius: float, style: OrganelleStyle, level: float) -> None:
    """A small dark body: a vesicle with a dense core, or a piece of dark reticulum."""
    scene.lay(level + scene.rng.uniform(0.0, 0.3), scene.cover(body.depth, 8.0), body.window)
