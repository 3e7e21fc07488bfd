"""Images as the readers, the transforms and the page get to see them."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import numpy as np
import torch
from monai.bundle import ConfigParser

from bundle import keys as K
from bundle.annotate.click_service import ClickService
from bundle.data.domain_folder import DATALIST
from bundle.data.image_files import is_image, read_header, read_image
from bundle.inferers import PromptedSlidingWindowInferer
from bundle.preferences.store.judgement_store import JudgementStore
from bundle.transforms import LoadGrayImaged
from scripts.fuzzing.image_seeds import SECRET_FILE, TOKENS, image_seeds
from scripts.fuzzing.seeds import damage
from scripts.fuzzing.target import BrokenPromise, Target, refusal
from scripts.fuzzing.tiny_network import tiny_network

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "inference.json"
SECRET = b"SECRET! " * 512


class ImageTarget(Target):
    """One image format.

    The file is read as header, as pixels, by the transform, and as the page shows it. What is accepted must be finite,
    and none of it may come from a file outside of its folder.
    """

    group = "images"
    kind: str

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.seeds = image_seeds(self.kind)
        config = ConfigParser()
        config.read_config(str(CONFIG))
        self.preprocessing = config.get_parsed_content("preprocessing")
        self.load_image = LoadGrayImaged(K.IMAGE, reader=config.get_parsed_content("reader"))
        self.network = tiny_network()
        self.store = self.held.enter_context(JudgementStore(folder / "preferences.sqlite"))
        self.inferer = PromptedSlidingWindowInferer([16, 16], max_points=6)

    def mutate(self, random: Random) -> dict[str, bytes]:
        """Damage an image."""
        return damage(self.seeds, random, TOKENS[self.kind])

    def attack(self, given: Path) -> str | None:
        """Read it in all ways."""
        secret = given.parent / SECRET_FILE
        if not secret.exists():
            secret.write_bytes(SECRET)
        path = next(file for file in sorted(given.iterdir()) if is_image(file))
        refused = refusal(lambda: read_header(path), path.name)
        refused = refusal(lambda: check_pixels(read_image(path)), path.name) or refused
        refusal(lambda: check_pixels(np.asarray(self.load_image({K.IMAGE: str(path)})[K.IMAGE])), path.name)
        (given / DATALIST).write_text(json.dumps({"training": [{K.IMAGE: path.name}]}))
        refusal(lambda: self.open_page(given).picture(0))
        return refused

    def open_page(self, folder: Path) -> ClickService:
        """The page's images of a folder, as ``python -m scripts.annotate`` opens them."""
        return ClickService(folder, "training", "points.json", self.store, self.load, self.network, self.inferer)

    def load(self, path: str) -> torch.Tensor:
        """An image (1,X,Y) as the page reads it."""
        return torch.as_tensor(self.preprocessing({K.IMAGE: path, K.POINTS: [], K.POINT_LABELS: []})[K.IMAGE][:1])


def check_pixels(pixels: np.ndarray) -> None:
    """Look at what was read.

    Raises:
        BrokenPromise: it is not finite, or comes from the file that is secret.
    """
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise BrokenPromise("pixels that are not finite were accepted")
    rows = np.ascontiguousarray(pixels.squeeze().T)
    with np.errstate(invalid="ignore"):
        texts = rows.tobytes(), rows.astype(np.uint8).tobytes()
    if any(SECRET[:8] in text for text in texts):
        raise BrokenPromise("pixels come from a file outside of the folder")


class Png(ImageTarget):
    """PNG of 8 and 16 bits, colours, a palette, transparency."""

    kind = "png"


class Tiff(ImageTarget):
    """TIFF: strips, tiles, LZW, deflate, PackBits, float, both byte orders, BigTIFF, stacks, ImageJ, OME."""

    kind = "tiff"


class Mrc(ImageTarget):
    """MRC of all modes, both byte orders, an extended header, IMOD's unsigned bytes, stacks."""

    kind = "mrc"


class Nrrd(ImageTarget):
    """NRRD: raw, gzip, ASCII, detached."""

    kind = "nrrd"


class Mha(ImageTarget):
    """MetaImage: MHA raw and compressed, MHD with its data elsewhere, in a list or by a pattern."""

    kind = "mha"


class Nifti(ImageTarget):
    """NIfTI 1 and 2, plain and compressed."""

    kind = "nifti"
