from .evaluation_table import EvaluationTable
from .mean_teacher import MeanTeacher
from .pseudo_label_quality import PseudoLabelQuality

__all__ = ["EvaluationTable", "MeanTeacher", "PseudoLabelQuality"]
