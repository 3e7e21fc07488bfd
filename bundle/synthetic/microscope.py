"""From the section to the picture: cutting marks, staining, optics and the detector."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d, shift

from bundle.synthetic.cells import EMPTY, VESSEL, Cells
from bundle.synthetic.scene import Scene
from bundle.synthetic.tissue_style import MicroscopeStyle


def expose(scene: Scene, cells: Cells, style: MicroscopeStyle) -> NDArray[np.uint8]:
    """Take the picture.

    Args:
        scene: the painted section.
        cells: the cells, for charging at empty resin.
        style: the microscope.

    Returns:
        Image (H,W), 0 to 255.
    """
    rng = scene.rng
    _dirt(scene, style)
    if rng.random() < style.fold:
        _fold(scene, rng)
    picture = gaussian_filter(scene.canvas, style.blur / scene.pixel_size, truncate=3)
    if style.local_contrast > 0:
        picture = picture + style.local_contrast * (
            picture - gaussian_filter(picture, style.local_length / scene.pixel_size, truncate=2)
        )
    picture = picture + style.shading * scene.noise(0.3 * min(scene.shape) * scene.pixel_size)
    if style.charging > 0:
        _charge(scene, cells, style, picture)
    low, high = np.percentile(picture, (0.5, 99.5))
    picture = np.clip((picture - low) / max(high - low, 1e-3), -0.1, 1.1)
    picture = np.sign(picture) * np.abs(picture) ** style.gamma
    picture = style.brightness + style.contrast * (picture - 0.5)
    if style.stripes > 0:
        picture = picture + style.stripes * _stripes(scene, style)
    picture = picture + style.noise * rng.standard_normal(scene.shape, dtype=np.float32)
    picture = picture + style.grain * scene.noise(style.grain_length)
    return np.asarray(np.rint(255 * np.clip(picture, 0, 1)), np.uint8)


def _dirt(scene: Scene, style: MicroscopeStyle) -> None:
    """Black specks of stain, and smears."""
    for _ in range(scene.count(style.dirt)):
        row, column = scene.rng.uniform((0, 0), scene.shape)
        size = scene.rng.uniform(15.0, 120.0)
        reach = int(3 * size / scene.pixel_size) + 2
        window = (
            slice(max(int(row) - reach, 0), min(int(row) + reach + 1, scene.shape[0])),
            slice(max(int(column) - reach, 0), min(int(column) + reach + 1, scene.shape[1])),
        )
        y, x = np.ogrid[window]
        distance = np.hypot(y - row, x - column) * scene.pixel_size
        depth = size - distance + 0.6 * size * scene.noise(0.5 * size, distance.shape)
        cover = scene.cover(depth, 0.5 * size)
        scene.lay(scene.rng.uniform(0.0, 0.15), cover, window)
        scene.note("dirt", cover)


def _fold(scene: Scene, rng: np.random.Generator) -> None:
    """A dark band, or thin bright and dark scratches of the knife, across the image."""
    angle = rng.uniform(0, np.pi)
    rows, columns = (np.indices(scene.shape, np.float32) + 0.5) * scene.pixel_size
    across = rows * np.cos(angle) - columns * np.sin(angle)
    across = across - rng.uniform(across.min(), across.max())
    if rng.random() < 0.5:
        width = rng.uniform(80.0, 500.0)
        band = scene.cover(width - np.abs(across + 0.4 * width * scene.noise(900.0)), 60.0)
        scene.canvas *= 1 - rng.uniform(0.2, 0.6) * band
        scene.note("fold", band)
    else:
        for _ in range(int(rng.integers(1, 6))):
            scratch = scene.line(across - rng.normal(0, 700.0), rng.uniform(15.0, 60.0))
            scene.canvas += rng.choice((-0.25, 0.25)) * scratch
            scene.note("scratch", scratch)


def _charge(scene: Scene, cells: Cells, style: MicroscopeStyle, picture: NDArray[np.float32]) -> None:
    """Brighter seams along empty resin, with dark shadows in the direction of the scan."""
    empty = np.isin(cells.kind, (EMPTY, VESSEL))[cells.owner].astype(np.float32)
    halo = gaussian_filter(empty, 250.0 / scene.pixel_size, truncate=2) * (1 - 0.7 * empty)
    trail = gaussian_filter1d(empty, 700.0 / scene.pixel_size, axis=1, truncate=2)
    picture += style.charging * (halo - 0.5 * shift(trail, (0, 300 / scene.pixel_size), order=1, mode="nearest"))
    scene.note("charging", 2 * halo)


def _stripes(scene: Scene, style: MicroscopeStyle) -> NDArray[np.float32]:
    """Brightness that is the same along a line, mean 0 and standard deviation about 1."""
    rows, columns = np.indices(scene.shape, np.float32)
    across = rows * np.cos(style.stripe_direction) - columns * np.sin(style.stripe_direction)
    across -= across.min()
    profile = gaussian_filter1d(scene.rng.standard_normal(int(across.max()) + 3), 1.0)
    profile += 0.7 * gaussian_filter1d(scene.rng.standard_normal(len(profile)), 6.0) * 6**0.5
    fading = np.clip(1 + 0.5 * scene.noise(0.3 * min(scene.shape) * scene.pixel_size), 0, 2)
    scene.note("stripes", np.ones(1))
    return np.asarray(np.interp(across, np.arange(len(profile)), profile) * fading, np.float32)
