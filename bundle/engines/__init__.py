from .adaptation_trainer import AdaptationTrainer
from .preference_trainer import PreferenceTrainer
from .source_trainer import SourceTrainer

__all__ = ["AdaptationTrainer", "PreferenceTrainer", "SourceTrainer"]
