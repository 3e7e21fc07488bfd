from .contrastive import PromptContrastiveLoss
from .exemplars import ExemplarBank
from .multitask import MultitaskLoss
from .pseudo_labels import PseudoLabeler, PseudoLabels, density_peaks

__all__ = ["ExemplarBank", "MultitaskLoss", "PromptContrastiveLoss", "PseudoLabeler", "PseudoLabels", "density_peaks"]
