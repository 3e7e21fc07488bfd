"""Files of candidate masks."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np

from bundle import keys as K
from bundle.preferences.candidates.files import read_candidates
from bundle.preferences.judged_items import judged_items
from bundle.preferences.store.judgement_store import Judgement
from scripts.fuzzing.json_mutations import mutate_json
from scripts.fuzzing.seeds import Seed, damage, zip_seed
from scripts.fuzzing.target import Target, refusal
from scripts.fuzzing.tiny_page import make_questions, write_domain

FILE = "a.npz"
TOKENS = (
    *(b"'descr': '|O'", b"'descr': '<f8'", b"'descr': '<U99999999'", b"'descr': [('x', '<i4')]", b"'|S0'", b"(0,)"),
    *(b"(99999999999,)", b"(-1,)", b"(1, 2, 3, 4)", b"()", b"'fortran_order': True", b"\x93NUMPY\x01\x00", b"[" * 200),
    *(
        b"\x93NUMPY\x03\x00",
        b"PK\x01\x02",
        b"PK\x05\x06",
        b"about.npy",
        b"masks.npy",
        b"pickle",
        b"\x80\x04cos\nsystem\n",
    ),
)
WORDS = (
    [3, 32, 24],
    [3, 24, 32],
    [2**31, 2**31, 2**31],
    [1, 1, 1],
    [0, 0, 0],
    "version",
    "shape",
    "made",
    ["a"] * 3,
    2,
)


class Candidates(Target):
    """Candidate files, as the page and a training read them."""

    group = "files"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.domain = write_domain(folder / "domain")
        self.question = make_questions(self.domain, folder / "candidates")[0]
        sound = Path(self.question.candidates_file).read_bytes()
        members = npz_members(sound)
        self.about = json.loads(np.load(io.BytesIO(members["about.npy"])).item())
        self.arrays = [members["masks.npy"], members["probability.npy"]]
        self.seeds = [zip_seed(FILE, sound), Seed([json.dumps(self.about).encode(), *self.arrays], joined)]

    def mutate(self, random: Random) -> dict[str, bytes]:
        """Damage a file, or what it says about its masks."""
        if random.random() < 0.5:
            return joined([mutate_json(self.about, random, WORDS), *self.arrays])
        return damage(self.seeds, random, TOKENS)

    def attack(self, given: Path) -> str | None:
        """Read it alone, and for a judgement that was made of the sound one."""
        path = given / FILE
        refused = refusal(lambda: read_candidates(path).sha256, FILE)
        asked = self.question.__class__(**{**vars(self.question), "candidates_file": str(path)})
        item = {K.IMAGE: asked.image, K.POINTS: [], K.POINT_LABELS: []}
        line = refusal(lambda: judged_items([Judgement(asked, 1, "person:ada", 1.0)], [item]))
        return refused or line


def npz_members(content: bytes) -> dict[str, bytes]:
    """The members of a npz file by name."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return {info.filename: file.read(info) for info in file.infolist()}


def joined(parts: Sequence[bytes]) -> dict[str, bytes]:
    """A file of candidates whose text need not be sound: (text about the masks, masks, probability)."""
    about, out = io.BytesIO(), io.BytesIO()
    np.save(about, np.array(parts[0].decode("utf-8", "replace")))
    with zipfile.ZipFile(out, "w") as file:
        for name, data in zip(("about", "masks", "probability"), (about.getvalue(), *parts[1:]), strict=True):
            file.writestr(zipfile.ZipInfo(f"{name}.npy"), data)
    return {FILE: out.getvalue()}
