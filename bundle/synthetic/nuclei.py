"""Nuclei: an envelope of two membranes, chromatin and a nucleolus."""

import numpy as np

from bundle.synthetic.cells import DARK, PLAIN, Cells
from bundle.synthetic.scene import Scene
from bundle.synthetic.tissue_style import NucleusStyle

SMALLEST = 700.0
"""Radius in nm of the smallest nucleus."""

LARGEST = 3500.0
"""Half of the width in nm of the largest nucleus."""


def paint_nuclei(scene: Scene, cells: Cells, style: NucleusStyle, share: float, membrane_level: float) -> None:
    """Paint a nucleus into some of the large cells; ``room`` leaves it out.

    Args:
        scene: where to paint.
        cells: the cells.
        style: how nuclei look.
        share: probability of a nucleus in a cell that is large enough.
        membrane_level: gray level of membranes.
    """
    rng = scene.rng
    large = np.unique(cells.owner[cells.of_kind(PLAIN, DARK) & (scene.room > style.rim + SMALLEST)])
    chosen = large[rng.random(len(large)) < share]
    if len(chosen) == 0:
        return
    within = np.isin(cells.owner, chosen)
    # A nucleus is smaller than a cell that fills the image.
    deepest = np.zeros(len(cells.kind), np.float32)
    np.maximum.at(deepest, cells.owner.ravel(), scene.room.ravel())
    rim = np.maximum(style.rim, deepest - rng.uniform(SMALLEST, LARGEST, len(deepest)))[cells.owner]
    rough = 0.4 * style.rim * scene.noise(600.0) + 25.0 * scene.noise(120.0)
    depth = np.where(within, scene.room - rim + rough, -1e3)
    clumps = scene.noise(style.chromatin_length) + 0.5 * scene.noise(0.4 * style.chromatin_length)
    edge = np.exp(-np.maximum(depth - 30.0, 0) / 90.0)  # chromatin lines the envelope
    chromatin = np.clip(1.2 * (clumps - 0.5 + 1.6 * edge), 0, 1)
    nucleoplasm = style.level + style.chromatin * chromatin + 0.04 * scene.noise(15.0)
    nucleolus = scene.cover(800.0 * (scene.noise(500.0) - 1.6), 60.0) * (depth > 300)
    nucleoplasm = nucleoplasm + 1.2 * style.chromatin * nucleolus * (1 + 0.3 * scene.noise(30.0))
    body = scene.cover(depth)
    scene.lay(nucleoplasm, body)
    gap = style.envelope_gap * (1 + 0.3 * scene.noise(200.0))
    scene.lay(membrane_level + 0.4, 0.6 * scene.cover(np.minimum(depth, gap - depth)) * within)
    for distance in (0.0, gap):
        scene.lay(membrane_level, scene.line(depth - distance, 8.0, 0.5 * scene.slant) * within)
    scene.room = np.where(within, np.minimum(scene.room, np.maximum(-depth, 0)), scene.room).astype(np.float32)
    scene.note("nucleus", body)
