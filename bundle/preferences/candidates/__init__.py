"""Candidates: masks of an image that differ, how they are made, compared and kept in files."""

from .maker import CandidateMaker
from .variants import (
    Brightness,
    DensityPeaks,
    Dropout,
    EvolvedContour,
    Gamma,
    GivenClicks,
    HalfOfGivenClicks,
    Noise,
    OtherNetworks,
    Thresholds,
    Turns,
    Zoom,
)

__all__ = [
    "Brightness",
    "CandidateMaker",
    "DensityPeaks",
    "Dropout",
    "EvolvedContour",
    "Gamma",
    "GivenClicks",
    "HalfOfGivenClicks",
    "Noise",
    "OtherNetworks",
    "Thresholds",
    "Turns",
    "Zoom",
]
