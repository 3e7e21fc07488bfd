from .anchor import anchor_losses
from .contrastive import PromptContrastiveLoss
from .multitask import MultitaskLoss
from .none_of_these import none_of_these_loss
from .preference import PreferenceLoss
from .preference_statistics import preference_statistics

__all__ = [
    "MultitaskLoss",
    "PreferenceLoss",
    "PromptContrastiveLoss",
    "anchor_losses",
    "none_of_these_loss",
    "preference_statistics",
]
