from .anchor import anchor_losses
from .contrastive import PromptContrastiveLoss
from .multitask import MultitaskLoss
from .preference import PreferenceLoss
from .preference_statistics import preference_statistics

__all__ = [
    "MultitaskLoss",
    "PreferenceLoss",
    "PromptContrastiveLoss",
    "anchor_losses",
    "preference_statistics",
]
