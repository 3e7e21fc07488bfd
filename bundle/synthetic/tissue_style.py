"""How synthetic tissue looks under a synthetic microscope: one dataclass for each part of the picture.

All lengths are nanometres, so that a style can be rendered at any pixel size. Gray levels run from 0 (black) to 1
(white) before the microscope changes them. Shares and probabilities are in [0,1].
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class CellStyle:
    """Cells, what is between them, and their membranes.

    Args:
        size: typical diameter of a cell profile.
        spread: standard deviation of the logarithm of the diameters; large values mix cell bodies and thin processes.
        elongation: ratio of length to width that all cells share, 1 or more.
        direction: angle of the long axis in radians.
        curl: bending of the cells, relative to their size.
        ruffle: amplitude of the fine waves of the membranes.
        merging: share of the profiles that are joined to a neighbour, which makes concave shapes.
        rounding: radius of the corners.
        gap: mean width of the space between two cells.
        bulge: standard deviation of half that width; large values leave wide extracellular or glial spaces.
        gap_level: gray level between the cells.
        membrane_width: thickness of a cell membrane.
        membrane_level: gray level of membranes, of organelles too.
        level: mean gray level of the cytoplasm.
        level_spread: standard deviation of that level from cell to cell.
        dark_share: share of cells with dark cytoplasm, such as glia.
        dark_level: gray level of dark cytoplasm.
        empty_share: share of the area without cells: embedding resin, lumina, blood vessels.
        empty_level: gray level of empty resin.
        vessel_share: share of the large profiles that are blood vessels.
        fibril_share: share of the profiles that are bundles of muscle filaments.
        myelin_share: share of the profiles that are wrapped in myelin.
        myelin_thickness: thickness of the sheath.
        myelin_period: distance of its layers.
        myelin_level: mean gray level of the sheath.
        synapse_share: share of the membranes with a dark density beside them.
        nucleus_share: share of the cells large enough for a nucleus in which the section meets it.
    """

    size: float
    spread: float
    elongation: float
    direction: float
    curl: float
    ruffle: float
    merging: float
    rounding: float
    gap: float
    bulge: float
    gap_level: float
    membrane_width: float
    membrane_level: float
    level: float
    level_spread: float
    dark_share: float
    dark_level: float
    empty_share: float
    empty_level: float
    vessel_share: float
    fibril_share: float
    myelin_share: float
    myelin_thickness: float
    myelin_period: float
    myelin_level: float
    synapse_share: float
    nucleus_share: float


@dataclass(frozen=True)
class CytoplasmStyle:
    """What fills the cells beside organelles with an outline of their own.

    Args:
        grain: standard deviation of the fine texture.
        grain_length: correlation length of that texture.
        mottle: standard deviation of the coarse texture.
        mottle_length: correlation length of the coarse texture.
        ribosomes: darkness of ribosomes and other specks.
        ribosome_length: size of a speck.
        filaments: darkness of microtubules and filaments along the cells.
        filament_period: distance between neighbouring filaments.
        reticulum: share of the cytoplasm with smooth endoplasmic reticulum.
        reticulum_width: width of its tubules.
        rough_share: share of the cytoplasm filled with stacks of rough endoplasmic reticulum.
        rough_period: distance between its sheets.
        vesicles: synaptic vesicles for each square micrometre of the places that have them.
        vesicle_share: share of the cytoplasm with vesicles.
        vesicle_size: diameter of a vesicle.
        vesicle_level: gray level added inside vesicles; negative is darker than the cytoplasm.
        vesicle_haze: darkness of the cytoplasm between vesicles.
        glycogen: darkness of glycogen rosettes in patches.
    """

    grain: float
    grain_length: float
    mottle: float
    mottle_length: float
    ribosomes: float
    ribosome_length: float
    filaments: float
    filament_period: float
    reticulum: float
    reticulum_width: float
    rough_share: float
    rough_period: float
    vesicles: float
    vesicle_share: float
    vesicle_size: float
    vesicle_level: float
    vesicle_haze: float
    glycogen: float


@dataclass(frozen=True)
class MitochondrionStyle:
    """Mitochondria.

    Args:
        share: share of the area that they are to cover; less where they do not fit.
        width: median width.
        width_spread: standard deviation of the logarithm of the widths.
        length: mean length of the long ones, from end to end.
        long_share: share of long ones; the others are round to oval.
        curl: bending, radians for each micrometre.
        branching: probability that a long one has a branch.
        wobble: roughness of the outline relative to the width.
        clustering: probability that one lies beside another.
        clearance: smallest distance to other organelles and to the cell's membrane.
        level: mean gray level of the matrix.
        level_spread: standard deviation of that level from one to the next.
        texture: standard deviation of the matrix's grain.
        wall_level: gray level of the outer and inner membrane.
        wall_width: thickness of each.
        wall_gap: width of the space between the two.
        cristae_level: gray level that cristae add to the matrix; negative is darker.
        cristae_width: thickness of a crista.
        cristae_period: distance between neighbouring cristae.
        cristae_share: share of the inside with cristae.
        cristae_along: probability that they run along the mitochondrion instead of across.
        cristae_disorder: bending of the cristae relative to their distance.
        granules: probability that one has dark granules.
        swollen_share: share of mitochondria with a light, almost empty matrix.
    """

    share: float
    width: float
    width_spread: float
    length: float
    long_share: float
    curl: float
    branching: float
    wobble: float
    clustering: float
    clearance: float
    level: float
    level_spread: float
    texture: float
    wall_level: float
    wall_width: float
    wall_gap: float
    cristae_level: float
    cristae_width: float
    cristae_period: float
    cristae_share: float
    cristae_along: float
    cristae_disorder: float
    granules: float
    swollen_share: float


@dataclass(frozen=True)
class OrganelleStyle:
    """Bodies that are mistaken for mitochondria, each as a number for 100 square micrometres.

    Args:
        lysosomes: dense mottled bodies.
        multivesicular_bodies: pale bodies with vesicles inside.
        lipid_droplets: smooth bodies without a membrane.
        peroxisomes: evenly gray bodies with one membrane.
        dense_cores: small dark vesicles.
        vacuoles: light bodies with a membrane.
        whorls: onion-like membrane whorls.
        golgi: Golgi stacks.
        size: typical diameter of the large bodies.
        lysosome_level: gray level of lysosomes.
        lipid_level: gray level of lipid droplets.
        peroxisome_level: gray level of peroxisomes.
    """

    lysosomes: float
    multivesicular_bodies: float
    lipid_droplets: float
    peroxisomes: float
    dense_cores: float
    vacuoles: float
    whorls: float
    golgi: float
    size: float
    lysosome_level: float
    lipid_level: float
    peroxisome_level: float


@dataclass(frozen=True)
class NucleusStyle:
    """Nuclei.

    Args:
        level: gray level of the nucleoplasm.
        chromatin: gray level that chromatin clumps add; negative is darker.
        chromatin_length: size of the clumps.
        rim: thickness of cytoplasm between nucleus and cell membrane.
        envelope_gap: width of the space within the nuclear envelope.
    """

    level: float
    chromatin: float
    chromatin_length: float
    rim: float
    envelope_gap: float


@dataclass(frozen=True)
class MicroscopeStyle:
    """From the section to the picture: cutting, staining, optics and detector.

    Args:
        thickness: thickness of the section, which smears membranes that it meets at a slant.
        blur: standard deviation of the point spread.
        local_contrast: strength of local contrast enhancement.
        local_length: its length.
        gamma: exponent of the gray level.
        contrast: distance of the darkest and the brightest gray level; 1 uses the whole range.
        brightness: gray level in the middle of the two.
        shading: standard deviation of slow brightness changes.
        noise: standard deviation of white noise in the picture.
        grain: standard deviation of correlated noise.
        grain_length: correlation length of that noise.
        stripes: standard deviation of brightness from line to line (curtaining, scan noise).
        stripe_direction: angle of the stripes in radians.
        fold: probability of a fold or knife mark.
        charging: strength of bright halos at empty resin.
        dirt: dark stain precipitates for 100 square micrometres.
    """

    thickness: float
    blur: float
    local_contrast: float
    local_length: float
    gamma: float
    contrast: float
    brightness: float
    shading: float
    noise: float
    grain: float
    grain_length: float
    stripes: float
    stripe_direction: float
    fold: float
    charging: float
    dirt: float


@dataclass(frozen=True)
class TissueStyle:
    """One tissue under one microscope.

    Args:
        tissue: name of the kind of tissue.
        cells: cells and their membranes.
        cytoplasm: what fills the cells.
        mitochondria: mitochondria.
        organelles: bodies that are mistaken for them.
        nuclei: nuclei.
        microscope: cutting, staining and imaging.
    """

    tissue: str
    cells: CellStyle
    cytoplasm: CytoplasmStyle
    mitochondria: MitochondrionStyle
    organelles: OrganelleStyle
    nuclei: NucleusStyle
    microscope: MicroscopeStyle
