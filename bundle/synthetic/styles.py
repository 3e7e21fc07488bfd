"""Domain parameters of the synthetic electron microscopy generator, and the two domains that ship with it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """How one synthetic domain looks. Lengths are pixels, gray levels run from 0 (black) to 1 (white).

    Two styles differ in appearance (levels, noise, blur) and in biology (size, shape and company of the
    mitochondria), as two tissues under two microscopes do.

    Args:
        cell_size: mean distance between the centres of neighbouring cells.
        membrane_width: thickness of the cell membranes.
        membrane_level: gray level of the cell membranes.
        cytoplasm_level: mean gray level of the cytoplasm.
        cell_spread: standard deviation of the gray level from cell to cell.
        grain: standard deviation of the granules (ribosomes and the like) in the cytoplasm.
        mito_radius: half of a mitochondrion's mean width.
        mito_elongation: largest ratio of length to width; the smallest is 1.
        mito_wobble: relative deviation of the outline from an ellipse.
        mito_density: mitochondria for each 10,000 square pixels.
        matrix_level: mean gray level inside the mitochondria.
        matrix_spread: standard deviation of that level from one mitochondrion to the next.
        wall_contrast: how much the double membrane is darker than ``matrix_level``.
        cristae_period: distance between neighbouring cristae.
        cristae_contrast: gray level that the cristae add to ``matrix_level``; negative is darker.
        distractor_density: dark bodies that are no mitochondria (lysosomes, myelin) for each 10,000 square pixels.
        distractor_radius: mean radius of those bodies.
        distractor_level: mean gray level of those bodies.
        vesicle_density: vesicles (small rings with a bright inside) for each 10,000 square pixels.
        blur: standard deviation of the microscope's point spread.
        noise: standard deviation of the detector noise, added after the blur.
        noise_grain: correlation length of that noise; 0 is white.
        gamma: exponent applied to the gray level; above 1 darkens the middle tones.
        contrast: factor of the gray level around one half.
        shading: standard deviation of the slow change of brightness across the image.
    """

    cell_size: float
    membrane_width: float
    membrane_level: float
    cytoplasm_level: float
    cell_spread: float
    grain: float
    mito_radius: float
    mito_elongation: float
    mito_wobble: float
    mito_density: float
    matrix_level: float
    matrix_spread: float
    wall_contrast: float
    cristae_period: float
    cristae_contrast: float
    distractor_density: float
    distractor_radius: float
    distractor_level: float
    vesicle_density: float
    blur: float
    noise: float
    noise_grain: float
    gamma: float
    contrast: float
    shading: float


STYLES: dict[str, Style] = {
    # Thin sections in a transmission microscope: crisp, contrasty, dark mitochondria full of light cristae.
    "synthetic-a": Style(
        cell_size=38.0,
        membrane_width=1.8,
        membrane_level=0.12,
        cytoplasm_level=0.72,
        cell_spread=0.08,
        grain=0.07,
        mito_radius=7.5,
        mito_elongation=2.0,
        mito_wobble=0.08,
        mito_density=3.0,
        matrix_level=0.36,
        matrix_spread=0.05,
        wall_contrast=0.22,
        cristae_period=4.5,
        cristae_contrast=0.16,
        distractor_density=1.5,
        distractor_radius=5.5,
        distractor_level=0.2,
        vesicle_density=8.0,
        blur=0.6,
        noise=0.06,
        noise_grain=0.0,
        gamma=1.0,
        contrast=1.1,
        shading=0.02,
    ),
    # A block face under a scanning microscope: soft, noisy, pale mitochondria among darker lysosomes and myelin.
    "synthetic-b": Style(
        cell_size=54.0,
        membrane_width=2.4,
        membrane_level=0.34,
        cytoplasm_level=0.7,
        cell_spread=0.025,
        grain=0.03,
        mito_radius=10.5,
        mito_elongation=1.5,
        mito_wobble=0.1,
        mito_density=2.6,
        matrix_level=0.5,
        matrix_spread=0.02,
        wall_contrast=0.2,
        cristae_period=6.0,
        cristae_contrast=-0.15,
        distractor_density=2.5,
        distractor_radius=7.5,
        distractor_level=0.24,
        vesicle_density=10.0,
        blur=0.9,
        noise=0.035,
        noise_grain=0.6,
        gamma=0.9,
        contrast=0.8,
        shading=0.04,
    ),
}
