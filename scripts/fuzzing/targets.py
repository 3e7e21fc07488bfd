"""All targets by name, and how many cases of them are wanted."""

from __future__ import annotations

from scripts.fuzzing.images import Mha, Nifti, Nrrd, Png, Tiff
from scripts.fuzzing.target import Target

TARGETS: dict[str, type[Target]] = {"png": Png, "tiff": Tiff, "nrrd": Nrrd, "mha": Mha, "nifti": Nifti}

GOALS = {"images": 10_000, "bodies": 5_000, "files": 5_000}
"""Cases of each group of targets."""
