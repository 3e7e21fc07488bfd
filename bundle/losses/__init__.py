from .contrastive import PromptContrastiveLoss
from .exemplars import ExemplarBank
from .multitask import MultitaskLoss
from .preference import PreferenceLoss
from .preference_statistics import preference_statistics
from .pseudo_labels import PseudoLabeler, PseudoLabels, density_peaks

__all__ = [
    "ExemplarBank",
    "MultitaskLoss",
    "PreferenceLoss",
    "PromptContrastiveLoss",
    "PseudoLabeler",
    "PseudoLabels",
    "density_peaks",
    "preference_statistics",
]
