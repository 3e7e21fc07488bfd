from .evaluation_pictures import EvaluationPictures
from .evaluation_table import EvaluationTable
from .mean_teacher import MeanTeacher
from .pseudo_label_quality import PseudoLabelQuality
from .resume import Resume
from .tracked_run import TrackedRun
from .weights import LoadWeights, SaveWeights

__all__ = [
    "EvaluationPictures",
    "EvaluationTable",
    "LoadWeights",
    "MeanTeacher",
    "PseudoLabelQuality",
    "Resume",
    "SaveWeights",
    "TrackedRun",
]
