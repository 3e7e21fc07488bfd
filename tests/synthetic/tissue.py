"""A plain tissue: one cell beyond the image with nothing in it, to which a test adds what it is about."""

from dataclasses import fields, replace

import numpy as np

from bundle.synthetic.random_style import random_style
from bundle.synthetic.scene import Scene

SHAPE = (192, 224)


def without(style, **changes):
    """A part of a style with every density, share and texture at 0, and some changes."""
    zero = {
        f.name: 0.0
        for f in fields(style)
        if f.name.endswith(("_share", "spread")) or f.name in ("share", "bulge", "merging", "ruffle", "curl", "wobble")
    }
    return replace(style, **(zero | changes))


def plain_tissue():
    style = random_style(np.random.default_rng(0))
    cells = without(
        style.cells, size=60_000.0, elongation=1.0, gap=20.0, rounding=5.0, level=0.7, membrane_level=0.2,
        membrane_width=10.0, gap_level=0.7, empty_level=0.9, dark_level=0.4, myelin_level=0.1, myelin_period=20.0,
    )  # fmt: skip
    nothing = {f.name: 0.0 for f in fields(style.cytoplasm) if not f.name.endswith(("_length", "_period", "_size"))}
    cytoplasm = replace(style.cytoplasm, **(nothing | {"reticulum_width": 40.0, "vesicle_size": 45.0}))
    mitochondria = without(
        style.mitochondria, width=400.0, length=2500.0, curl=0.2, branching=0.0, clustering=0.0, clearance=20.0,
        level=0.4, wall_level=0.2, cristae_level=-0.2, granules=0.0, texture=0.0,
    )  # fmt: skip
    bodies = {f.name: 0.0 for f in fields(style.organelles)}
    organelles = replace(
        style.organelles,
        **(bodies | {"size": 400.0, "lysosome_level": 0.3, "lipid_level": 0.1, "peroxisome_level": 0.5}),
    )
    microscope = replace(
        style.microscope, thickness=0.0, blur=0.1, local_contrast=0.0, contrast=1.0, brightness=0.5, gamma=1.0,
        shading=0.0, noise=0.0, grain=0.0, stripes=0.0, fold=0.0, charging=0.0, dirt=0.0,
    )  # fmt: skip
    return replace(
        style, cells=cells, cytoplasm=cytoplasm, mitochondria=mitochondria, organelles=organelles, microscope=microscope
    )


def changed(style, **parts):
    """A style with changes in its parts: ``changed(style, cells={"size": 900.0})``."""
    return replace(style, **{name: replace(getattr(style, name), **values) for name, values in parts.items()})


def open_scene(pixel_size=20.0, shape=SHAPE, seed=0, level=0.7):
    """A scene with room everywhere."""
    scene = Scene(shape, pixel_size, np.random.default_rng(seed))
    scene.canvas[:] = level
    scene.room[:] = 5000.0
    return scene
