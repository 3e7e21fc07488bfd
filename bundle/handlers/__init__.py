from .epoch_seed import EpochSeed
from .evaluation_pictures import EvaluationPictures
from .evaluation_table import EvaluationTable
from .extreme_pictures import ExtremePictures
from .feedback import Feedback
from .instance_report import InstanceReport
from .judgement_pictures import JudgementPictures
from .mean_teacher import MeanTeacher
from .model_settings import model_settings
from .preference_guard import PreferenceGuard
from .preference_statistics import PreferenceStatistics
from .progress_file import ProgressFile
from .provenance import Provenance
from .pseudo_label_quality import PseudoLabelQuality
from .reference_policy import ReferencePolicy
from .resume import Resume
from .shipped_weights import check_not_shipped
from .tracked_run import TrackedRun
from .tracked_validation import TrackedValidation
from .tracking_guard import TrackingGuard
from .weights import LoadWeights, SaveWeights
from .work_dir_lock import WorkDirLock

__all__ = [
    "EpochSeed",
    "EvaluationPictures",
    "EvaluationTable",
    "ExtremePictures",
    "Feedback",
    "InstanceReport",
    "JudgementPictures",
    "LoadWeights",
    "MeanTeacher",
    "PreferenceGuard",
    "PreferenceStatistics",
    "ProgressFile",
    "Provenance",
    "PseudoLabelQuality",
    "ReferencePolicy",
    "Resume",
    "SaveWeights",
    "TrackedRun",
    "TrackedValidation",
    "TrackingGuard",
    "WorkDirLock",
    "check_not_shipped",
    "model_settings",
]
