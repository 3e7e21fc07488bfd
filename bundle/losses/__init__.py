from .contrastive import PromptContrastiveLoss
from .multitask import MultitaskLoss
from .pseudo_labels import PseudoLabeler, PseudoLabels, density_peaks

__all__ = ["MultitaskLoss", "PromptContrastiveLoss", "PseudoLabeler", "PseudoLabels", "density_peaks"]
