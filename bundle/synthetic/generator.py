"""Synthetic electron microscopy with mitochondria labels: two domains without a download, for demos and tests.

An image is painted in the order of the biology: cells, cytoplasm, mitochondria, the bodies that are mistaken for
them, vesicles; then the microscope blurs it and adds noise. Every number comes from a
:class:`~bundle.synthetic.styles.Style`, every random draw from one seeded generator.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.spatial import cKDTree

from bundle.atomic import make_folder, replacing
from bundle.errors import DataError, SettingError
from bundle.synthetic.styles import STYLES, Style

Field = NDArray[np.float64]
Mask = NDArray[np.bool_]

SMALLEST_SIDE = 32
"""Shortest image side in pixels: below it hardly any mitochondrion fits."""

GAP = 2.0
"""Clear distance in pixels around every body, so that two bodies are 4 px apart and components are instances."""

ATTEMPTS = 80
"""Places tried for one body before it is left out of a crowded image."""


@dataclass(frozen=True)
class Body:
    """A closed outline in a window of the image.

    Args:
        window: rows and columns of the image that the arrays below cover.
        depth: signed distance to the outline in pixels, positive inside; shape of the window.
        along: coordinate along the body's long axis in pixels, 0 at the centre; shape of the window.
    """

    window: tuple[slice, slice]
    depth: Field
    along: Field


def generate_image(
    style: Style, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Paint one image and its mitochondria mask.

    Args:
        style: the domain.
        shape: (H, W) in pixels, each at least 32.
        rng: source of every random draw; the same state gives the same image.

    Returns:
        Image (H, W) uint8, 0 to 255, and label (H, W) uint8, 255 in mitochondria and 0 elsewhere. Each
        8-connected component of the label is one mitochondrion.

    Raises:
        SettingError: if a side of ``shape`` is too short.
    """
    if len(shape) != 2 or min(shape) < SMALLEST_SIDE:
        raise SettingError(
            f"shape is {shape}, expected (H, W) of at least {SMALLEST_SIDE} each: ask for a larger image."
        )
    canvas, to_membrane = _cells(style, shape, rng)
    free = to_membrane > style.membrane_width
    label = np.zeros(shape, np.uint8)
    for body in _scatter(free, style.mito_density, style.mito_radius, style.mito_elongation, style.mito_wobble, rng):
        _paint_mitochondrion(canvas[body.window], body, style, rng)
        label[body.window][body.depth > 0] = 255
    for body in _scatter(free, style.distractor_density, style.distractor_radius, 1.6, 0.12, rng):
        _paint_distractor(canvas[body.window], body, style, rng)
    for body in _scatter(free, style.vesicle_density, 2.4, 1.2, 0.0, rng):
        _paint_vesicle(canvas[body.window], body, style)
    return _expose(canvas, style, rng), label


def write_domain(
    folder: str | Path,
    style: str | Style,
    train: int = 16,
    test: int = 8,
    shape: tuple[int, int] = (192, 224),
    seed: int = 0,
) -> Path:
    """Write a domain as ``<folder>/{train,test}/{images,labels}/NNN.png``, 8-bit gray, labels 0 or 255.

    Each image depends on the seed, its split and its number alone, so a longer domain begins with the shorter one.
    Each file appears whole or not at all.

    Args:
        folder: where to write; made if it is missing.
        style: a name in :data:`~bundle.synthetic.styles.STYLES`, or a style of your own.
        train: number of images in ``train``, 0 or more.
        test: number of images in ``test``, 0 or more.
        shape: (H, W) of every image in pixels.
        seed: 0 or more; another seed gives other images.

    Returns:
        The folder.

    Raises:
        SettingError: if the style's name is unknown, a number is negative, or ``shape`` is too small.
        DataError: if the folder holds images beyond those asked for, which would be mixed up with the new ones.
    """
    folder, style = Path(folder), _find_style(style)
    sizes = {"train": train, "test": test}
    for name, value in {**sizes, "seed": seed}.items():
        if value < 0:
            raise SettingError(f"{name} is {value}, expected 0 or more.")
    for split, size in sizes.items():
        _refuse_leftovers(folder / split, size)
    for number, (split, size) in enumerate(sizes.items()):
        for index in range(size):
            rng = np.random.default_rng([seed, number, index])
            image, label = generate_image(style, shape, rng)
            _write_png(folder / split / "images" / f"{index:03d}.png", image)
            _write_png(folder / split / "labels" / f"{index:03d}.png", label)
    return folder


def _find_style(style: str | Style) -> Style:
    if isinstance(style, Style):
        return style
    if style not in STYLES:
        raise SettingError(f"style is {style!r}, expected one of {sorted(STYLES)} or a Style of your own.")
    return STYLES[style]


def _refuse_leftovers(split: Path, size: int) -> None:
    wanted = {f"{index:03d}.png" for index in range(size)}
    extra = sorted(path for path in split.glob("*/*.png") if path.name not in wanted)
    if extra:
        raise DataError(f"{extra[0]} is not one of the {size} images asked for: remove {split} or write elsewhere.")


def _write_png(path: Path, array: NDArray[np.uint8]) -> None:
    make_folder(path.parent)
    # The temporary suffix is not .png, so a file left by a killed process is never read as an image.
    with replacing(path) as partial:
        Image.fromarray(array).save(partial, format="PNG")


def _noise(shape: tuple[int, int], sigma: float, rng: np.random.Generator) -> Field:
    """Gaussian noise of mean 0, deviation 1 and correlation length ``sigma`` pixels."""
    field: Field = gaussian_filter(rng.standard_normal(shape), sigma) if sigma > 0 else rng.standard_normal(shape)
    noise: Field = (field - field.mean()) / field.std()
    return noise


def _cells(style: Style, shape: tuple[int, int], rng: np.random.Generator) -> tuple[Field, Field]:
    """Cells as Voronoi regions seen through a warp: the gray levels, and the distance to the next membrane."""
    margin = style.cell_size
    height, width = shape[0] + 2 * margin, shape[1] + 2 * margin
    # Uniform centres, not a jittered grid: neuropil has large profiles beside clusters of small ones.
    centres = rng.uniform(-margin, (height - margin, width - margin), (int(height * width / margin**2) + 3, 2))
    rows, columns = np.indices(shape)
    warp = [0.22 * margin * _noise(shape, 0.3 * margin, rng) for _ in range(2)]
    _, owner = cKDTree(centres).query(np.stack([rows + warp[0], columns + warp[1]], axis=-1))
    to_membrane = distance_transform_edt(_interior(owner))
    level = style.cytoplasm_level + style.cell_spread * rng.standard_normal(len(centres))
    canvas = level[owner] + style.grain * _cytoplasm(shape, rng)
    membrane = np.exp(-((to_membrane / (0.6 * style.membrane_width)) ** 2))
    return canvas + membrane * (style.membrane_level - canvas), to_membrane


def _interior(owner: NDArray[np.int64]) -> Mask:
    """True where a pixel and its neighbours below and to the right belong to one cell."""
    inside = np.ones(owner.shape, bool)
    inside[:-1] &= owner[:-1] == owner[1:]
    inside[:, :-1] &= owner[:, :-1] == owner[:, 1:]
    return inside


def _cytoplasm(shape: tuple[int, int], rng: np.random.Generator) -> Field:
    """Fine granules, dark specks, and the thin dark threads of the reticulum."""
    specks = np.clip(_noise(shape, 0.8, rng) - 1.2, 0, None)
    threads = np.exp(-((_noise(shape, 5.0, rng) / 0.09) ** 2)) * (_noise(shape, 9.0, rng) > 0.5)
    return 0.7 * _noise(shape, 1.5, rng) - 1.5 * specks - 2.5 * threads


def _scatter(
    free: Mask, density: float, radius: float, elongation: float, wobble: float, rng: np.random.Generator
) -> list[Body]:
    """Place bodies where ``free`` is true, and take their ground out of ``free``."""
    expected = density * free.size / 1e4
    bodies = []
    for _ in range(int(np.ceil(expected * rng.uniform(0.8, 1.2)))):
        body = _place(free, radius * rng.uniform(0.8, 1.2), rng.uniform(1.0, elongation), wobble, rng)
        if body is not None:
            free[body.window][body.depth > -GAP] = False
            bodies.append(body)
    return bodies


def _place(free: Mask, radius: float, stretch: float, wobble: float, rng: np.random.Generator) -> Body | None:
    """Try places and directions until the outline and its clear distance fit."""
    for _ in range(ATTEMPTS):
        centre = rng.uniform((0, 0), free.shape)
        if not free[int(centre[0]), int(centre[1])]:
            continue
        body = _outline(free.shape, centre, radius, stretch, wobble, rng)
        if free[body.window][body.depth > -GAP].all():
            return body
    return None


def _outline(
    shape: tuple[int, ...], centre: Field, radius: float, stretch: float, wobble: float, rng: np.random.Generator
) -> Body:
    """A bent ellipse whose radius varies with the angle."""
    reach = 1.5 * radius * stretch + 2 * GAP
    low = np.maximum(np.floor(centre - reach), 0).astype(int)
    high = np.minimum(np.ceil(centre + reach) + 1, shape).astype(int)
    window = (slice(low[0], high[0]), slice(low[1], high[1]))
    y, x = (axis - middle for axis, middle in zip(np.mgrid[window], centre, strict=True))
    angle = rng.uniform(0, np.pi)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    across = across + rng.uniform(-0.25, 0.25) * (stretch - 1) * along**2 / (radius * stretch)
    turn = np.arctan2(across, along / stretch)
    edge = 1 + wobble * sum(rng.normal() * np.cos(k * turn + rng.uniform(0, 2 * np.pi)) / (k - 1) for k in (2, 3, 4))
    inside = np.hypot(along / stretch, across) < radius * edge
    return Body(window, distance_transform_edt(inside) - distance_transform_edt(~inside), along)


def _blend(canvas: Field, depth: Field, value: Field | float) -> None:
    """Lay ``value`` over the inside of an outline, with an edge one pixel soft."""
    canvas += np.clip(depth, 0, 1) * (value - canvas)


def _paint_mitochondrion(canvas: Field, body: Body, style: Style, rng: np.random.Generator) -> None:
    """Matrix, cristae across the long axis, and two membranes with a lighter gap between."""
    shape = canvas.shape
    level = rng.normal(style.matrix_level, style.matrix_spread)
    phase = body.along + 1.2 * _noise(shape, 3.0, rng)
    stripes = np.sin(2 * np.pi * phase / style.cristae_period) * np.clip(0.6 + 0.6 * _noise(shape, 3.0, rng), 0, 1)
    cristae = style.cristae_contrast * np.clip((body.depth - 2.5) / 2, 0, 1) * stripes
    walls = np.exp(-((body.depth - 1.0) ** 2)) + 0.6 * np.exp(-((body.depth - 3.6) ** 2))
    _blend(canvas, body.depth, level + cristae - style.wall_contrast * walls + 0.03 * _noise(shape, 1.0, rng))


def _paint_distractor(canvas: Field, body: Body, style: Style, rng: np.random.Generator) -> None:
    """A lysosome (dense, mottled, one membrane), or a whorl of myelin (concentric dark sheets)."""
    level = rng.normal(style.distractor_level, 0.03)
    if rng.random() < 0.75:
        _blend(canvas, body.depth, level + 0.05 * _noise(canvas.shape, 1.5, rng))
    else:
        sheets = np.cos(2 * np.pi * (body.depth - 1) / 3.5)
        _blend(canvas, body.depth, level + 0.25 * (style.cytoplasm_level - level) * (1 - sheets))


def _paint_vesicle(canvas: Field, body: Body, style: Style) -> None:
    """A dark ring around a bright inside."""
    ring = np.exp(-((body.depth - 1) ** 2))
    light = style.cytoplasm_level + 0.08
    _blend(canvas, body.depth, light + ring * 0.7 * (style.membrane_level - light))


def _expose(canvas: Field, style: Style, rng: np.random.Generator) -> NDArray[np.uint8]:
    """What the microscope makes of the specimen: blur, shading, tone curve, noise, 8 bits."""
    shape = canvas.shape
    seen = gaussian_filter(canvas, style.blur) + style.shading * _noise(shape, 0.25 * min(shape), rng)
    seen = 0.5 + style.contrast * (np.clip(seen, 0, 1) ** style.gamma - 0.5)
    seen += style.noise * _noise(shape, style.noise_grain, rng)
    image: NDArray[np.uint8] = np.rint(255 * np.clip(seen, 0, 1)).astype(np.uint8)
    return image
