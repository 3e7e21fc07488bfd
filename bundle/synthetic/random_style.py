"""Styles drawn at random, over wider ranges than any one tissue or microscope has."""

import numpy as np

from bundle.synthetic.tissue_style import (
    CellStyle,
    CytoplasmStyle,
    MicroscopeStyle,
    MitochondrionStyle,
    NucleusStyle,
    OrganelleStyle,
    TissueStyle,
)

TISSUES = {"neuropil": 0.5, "cell bodies": 0.15, "epithelium": 0.13, "muscle": 0.1, "culture": 0.12}
"""Kinds of tissue and how often each is drawn. Epithelium stands for liver, kidney and glands."""


def random_style(rng: np.random.Generator) -> TissueStyle:
    """Draw a tissue and a microscope.

    Args:
        rng: source of every random draw; the same state gives the same style.

    Returns:
        The style.
    """
    draw = _Draw(rng)
    tissue = str(rng.choice(list(TISSUES), p=list(TISSUES.values())))
    cells = _cells(draw, tissue)
    return TissueStyle(
        tissue=tissue,
        cells=cells,
        cytoplasm=_cytoplasm(draw, tissue, cells),
        mitochondria=_mitochondria(draw, tissue, cells),
        organelles=_organelles(draw, tissue, cells),
        nuclei=_nuclei(draw, cells),
        microscope=_microscope(draw),
    )


class _Draw:
    """Short names for the distributions in use."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def even(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def scale(self, low: float, high: float) -> float:
        """Evenly spread logarithm, for sizes."""
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def some(self, probability: float, low: float, high: float) -> float:
        """0, or with this probability a value in the range."""
        value = self.even(low, high)
        return value if self.chance(probability) else 0.0


def _cells(draw: _Draw, tissue: str) -> CellStyle:
    size = {
        "neuropil": draw.scale(200, 900),
        "cell bodies": draw.scale(1500, 5000),
        "epithelium": draw.scale(5000, 14000),
        "muscle": draw.scale(500, 1500),
        "culture": draw.scale(900, 5000),
    }[tissue]
    level = draw.even(0.52, 0.85)
    membrane = max(level - draw.even(0.25, 0.7), 0.03)
    if tissue == "muscle":
        membrane = max(level - draw.even(0.15, 0.5), 0.03)
    open_tissue = tissue == "culture" or draw.chance(0.05)
    stain = level - membrane
    empty = float(np.clip(level + draw.even(0.03, 0.3), 0, 0.98))
    if open_tissue:
        gap, between = (
            draw.even(0.03, 0.25) * min(size, 1000),
            empty if draw.chance(0.7) else level + draw.even(-0.3, 0.2),
        )
    else:
        gap, between = (
            draw.scale(5, min(28, 0.07 * size)),
            level + (draw.even(-1.0, -0.2) * stain if draw.chance(0.65) else draw.even(0, 0.15)),
        )
    return CellStyle(
        size=size,
        spread=draw.even(0.5, 1.1) if tissue in ("neuropil", "culture", "cell bodies") else draw.even(0.2, 0.6),
        elongation=draw.scale(2.5, 6) if tissue == "muscle" else draw.scale(1.0, 3.0),
        direction=draw.even(0, np.pi),
        curl=draw.even(0.02, 0.08) if tissue == "muscle" else draw.even(0.1, 0.35),
        ruffle=draw.even(3, 30),
        merging=draw.even(0.0, 0.6),
        rounding=draw.scale(3, min(60, 0.06 * size)),
        gap=gap,
        bulge=draw.even(0.1, 0.4) * min(size, 1200) if open_tissue else draw.some(0.5, 2, min(110, 0.1 * size)),
        gap_level=float(np.clip(between, 0.1, 0.98)),
        membrane_width=draw.even(9, 25),
        membrane_level=membrane,
        level=level,
        level_spread=draw.even(0.005, 0.035 if tissue == "neuropil" else 0.06),
        dark_share=draw.some(0.55, 0.03, 0.3),
        dark_level=level - draw.even(0.08, 0.42),
        empty_share=draw.even(0.2, 0.55) if open_tissue else draw.some(0.06, 0.05, 0.3),
        empty_level=empty,
        vessel_share=draw.some(0.12, 0.2, 0.7),
        fibril_share=draw.even(0.45, 0.8) if tissue == "muscle" else 0.0,
        myelin_share=draw.some(0.35, 0.03, 0.3) if tissue == "neuropil" else draw.some(0.05, 0.05, 0.2),
        myelin_thickness=draw.scale(50, 350),
        myelin_period=draw.even(10, 28),
        myelin_level=max(membrane + draw.even(-0.1, 0.1), 0.03),
        synapse_share=draw.even(0.0, 0.08) if tissue == "neuropil" else 0.0,
        nucleus_share=draw.even(0.4, 0.9),
    )


def _cytoplasm(draw: _Draw, tissue: str, cells: CellStyle) -> CytoplasmStyle:
    gland = tissue in ("epithelium", "cell bodies", "culture")
    return CytoplasmStyle(
        grain=draw.even(0.01, 0.09),
        grain_length=draw.scale(6, 25),
        mottle=draw.even(0.0, 0.05),
        mottle_length=draw.scale(40, 300),
        ribosomes=draw.some(0.7, 0.1, 0.5) * (cells.level - cells.membrane_level),
        ribosome_length=draw.scale(8, 40),
        filaments=draw.some(0.5, 0.05, 0.2),
        filament_period=draw.scale(45, 160),
        reticulum=draw.some(0.9, 0.1, 0.8),
        reticulum_width=draw.even(28, 80),
        rough_share=draw.some(0.6, 0.08, 0.5) if gland else draw.some(0.1, 0.03, 0.1),
        rough_period=draw.scale(80, 260),
        vesicles=draw.scale(80, 400),
        vesicle_share=draw.some(0.9, 0.15, 0.75) if tissue == "neuropil" else draw.some(0.3, 0.02, 0.15),
        vesicle_size=draw.even(35, 60),
        vesicle_level=draw.even(-0.2, 0.15),
        vesicle_haze=draw.some(0.7, 0.05, 0.5) * (cells.level - cells.membrane_level),
        glycogen=draw.some(0.35, 0.08, 0.3) if tissue != "neuropil" else draw.some(0.1, 0.05, 0.2),
    )


def _mitochondria(draw: _Draw, tissue: str, cells: CellStyle) -> MitochondrionStyle:
    share = {
        "neuropil": draw.even(0.02, 0.11),
        "cell bodies": draw.even(0.03, 0.14),
        "epithelium": draw.even(0.1, 0.35),
        "muscle": draw.even(0.05, 0.3),
        "culture": draw.even(0.03, 0.14),
    }[tissue]
    stain = cells.level - cells.membrane_level
    below = draw.even(0.3, 1.0) if draw.chance(0.88) else draw.even(-0.1, 0.3)
    level = float(np.clip(cells.level - max(below * stain, 0.06 * (below > 0)), 0.06, 0.9))
    dark_cristae = draw.chance(0.55)
    return MitochondrionStyle(
        share=share,
        width=draw.scale(150, 450) if tissue == "neuropil" else draw.scale(180, 800),
        width_spread=draw.even(0.15, 0.45),
        length=draw.scale(800, 4000),
        long_share=draw.even(0.05, 0.6),
        curl=draw.even(0.1, 1.0),
        branching=draw.some(0.5, 0.05, 0.3),
        wobble=draw.even(0.03, 0.2),
        clustering=draw.even(0.0, 0.6),
        clearance=draw.scale(10, 70),
        level=level,
        level_spread=draw.even(0.01, 0.09),
        texture=draw.even(0.01, 0.07),
        wall_level=max(min(cells.membrane_level + draw.even(-0.1, 0.25) * stain, level - 0.04), 0.03),
        wall_width=draw.even(8, 18),
        wall_gap=draw.even(6, 16),
        cristae_level=-draw.even(0.1, 0.35) if dark_cristae else draw.even(0.08, 0.35),
        cristae_width=draw.even(14, 38),
        cristae_period=draw.scale(40, 130),
        cristae_share=draw.even(0.2, 1.1),
        cristae_along=draw.even(0.0, 0.9),
        cristae_disorder=draw.even(0.2, 1.2),
        granules=draw.some(0.3, 0.2, 0.8),
        swollen_share=draw.some(0.25, 0.05, 0.3),
    )


def _organelles(draw: _Draw, tissue: str, cells: CellStyle) -> OrganelleStyle:
    full = 2.0 if tissue in ("epithelium", "cell bodies") else 1.0
    return OrganelleStyle(
        lysosomes=full * draw.some(0.75, 1, 14),
        multivesicular_bodies=full * draw.some(0.6, 1, 10),
        lipid_droplets=full * draw.some(0.3, 1, 12),
        peroxisomes=full * draw.some(0.5, 1, 12),
        dense_cores=draw.some(0.7, 3, 120),
        vacuoles=draw.some(0.85, 10, 150),
        whorls=draw.some(0.5, 1, 8),
        golgi=full * draw.some(0.5, 1, 8),
        size=draw.scale(200, 600),
        lysosome_level=cells.level - draw.even(0.2, 0.6),
        lipid_level=float(np.clip(draw.even(0.05, 1.0), 0.05, 0.95)),
        peroxisome_level=cells.level - draw.even(0.1, 0.35),
    )


def _nuclei(draw: _Draw, cells: CellStyle) -> NucleusStyle:
    return NucleusStyle(
        level=cells.level + draw.even(-0.15, 0.12),
        chromatin=-draw.even(0.05, 0.4) if draw.chance(0.85) else draw.even(0.03, 0.15),
        chromatin_length=draw.scale(80, 400),
        rim=draw.scale(300, 1800),
        envelope_gap=draw.even(20, 45),
    )


def _microscope(draw: _Draw) -> MicroscopeStyle:
    contrast = draw.even(0.35, 1.05)
    return MicroscopeStyle(
        thickness=draw.scale(4, 70),
        blur=draw.scale(2, 24),
        local_contrast=draw.some(0.35, 0.1, 0.8),
        local_length=draw.scale(60, 600),
        gamma=draw.scale(0.6, 1.7),
        contrast=contrast,
        brightness=0.5 + draw.even(-0.5, 0.5) * max(1.05 - contrast, 0.05),
        shading=draw.even(0.0, 0.06),
        noise=contrast * draw.scale(0.004, 0.07),
        grain=contrast * draw.some(0.5, 0.005, 0.06),
        grain_length=draw.scale(8, 30),
        stripes=contrast * draw.some(0.2, 0.005, 0.04),
        stripe_direction=float(draw.rng.choice((0.0, np.pi / 2))),
        fold=draw.some(0.15, 1.0, 1.0),
        charging=draw.some(0.6, 0.05, 0.25),
        dirt=draw.some(0.3, 2, 30),
    )
