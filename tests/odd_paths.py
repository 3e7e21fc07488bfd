"""A domain whose folder and images have names that MONAI's configuration would change or run."""

import json
from pathlib import Path

from tests.conftest import write_domain

FOLDER = "@a#b%c$d"
IMAGE = "c#1 @seed"


def write_odd_domain(folder: Path, seed: int = 1, contrast: float = 60) -> Path:
    """A domain as of ``write_domain``, in which the first image of each split has an odd name."""
    write_domain(folder, seed, contrast)
    for split in ("training", "test"):
        old, new = f"{split}_0.png", f"{split} {IMAGE}.png"
        for kind in ("images", "labels"):
            (folder / kind / old).rename(folder / kind / new)
        for file in folder.glob("*.json"):
            file.write_text(json.dumps(json.loads(file.read_text().replace(old, new))))
    return folder
