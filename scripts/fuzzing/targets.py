"""All targets by name, and how many cases of them are wanted."""

from __future__ import annotations

from scripts.fuzzing.candidate_masks import Candidates
from scripts.fuzzing.checkpoints import States, Weights
from scripts.fuzzing.images import Mha, Mrc, Nifti, Nrrd, Png, Tiff
from scripts.fuzzing.list_files import Datalists, Points
from scripts.fuzzing.live_server import LiveServer
from scripts.fuzzing.page_requests import Bodies, Requests
from scripts.fuzzing.stores import Exports, Stores
from scripts.fuzzing.target import Target

TARGETS: dict[str, type[Target]] = {
    "png": Png,
    "tiff": Tiff,
    "mrc": Mrc,
    "nrrd": Nrrd,
    "mha": Mha,
    "nifti": Nifti,
    "bodies": Bodies,
    "requests": Requests,
    "server": LiveServer,
    "points": Points,
    "datalists": Datalists,
    "candidates": Candidates,
    "exports": Exports,
    "stores": Stores,
    "weights": Weights,
    "states": States,
}

GOALS = {"images": 10_000, "bodies": 5_000, "requests": 2_000, "files": 5_000}
"""Cases of each group of targets."""
