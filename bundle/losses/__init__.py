from .anchor import anchor_losses
from .contrastive import PromptContrastiveLoss
from .multitask import MultitaskLoss
from .none_of_these import none_of_these_loss
from .preference import PreferenceLoss
from .preference_forms import ComponentLoss, HingeLoss, IPOLoss, PixelLoss, choose_preference_loss
from .preference_statistics import preference_statistics

__all__ = [
    "ComponentLoss",
    "HingeLoss",
    "IPOLoss",
    "MultitaskLoss",
    "PixelLoss",
    "PreferenceLoss",
    "PromptContrastiveLoss",
    "anchor_losses",
    "choose_preference_loss",
    "none_of_these_loss",
    "preference_statistics",
]
