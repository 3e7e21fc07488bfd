from .adaptation_trainer import AdaptationTrainer
from .source_trainer import SourceTrainer

__all__ = ["AdaptationTrainer", "SourceTrainer"]
