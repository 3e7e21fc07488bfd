"""Weighted targets from the teacher's predictions: pseudo labels, exemplars, mixing (Prompt-DAS, stage 1)."""

from .exemplars import ExemplarBank
from .mixing import RandMix
from .peaks import density_peaks
from .pseudo_labels import PseudoLabeler, PseudoLabels

__all__ = ["ExemplarBank", "PseudoLabeler", "PseudoLabels", "RandMix", "density_peaks"]
