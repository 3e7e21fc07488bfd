"""Points files and datalists, and the domain folders that they are part of."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from random import Random

from bundle.annotate.click_service import ClickService
from bundle.data.domain_folder import DATALIST, SPLITS, load_domain, read_datalist
from bundle.data.evaluation_items import evaluation_items
from bundle.data.inference_items import inference_items
from bundle.data.points import read_points, write_points
from bundle.inferers import PromptedSlidingWindowInferer
from bundle.preferences.store.judgement_store import JudgementStore
from scripts.fuzzing.json_mutations import mutate_json
from scripts.fuzzing.mutations import mutate
from scripts.fuzzing.target import BrokenPromise, Target, refusal
from scripts.fuzzing.tiny_network import tiny_network
from scripts.fuzzing.tiny_page import IMAGES, label_of, load, write_domain

POINTS = {
    "complete": False,
    "points": {
        "images/a.png": {"points": [[10, 12], [0, 0]], "point_labels": [1, 0]},
        "b.png": {"points": [[31, 23.5]]},
        "c": {"points": []},
    },
}
CSV = b"image,x,y,label\nimages/a.png,10,12,1\nb.png,0.5,3,0\nc,31,23,\n"
CSV_WITHOUT_LABELS = b'\xef\xbb\xbfimage,x,y\r\nimages/a.png,10,12\r\n"b.png",1e1,3\r\n'
CSV_TOKENS = (
    b",",
    b'"',
    b"\r",
    b"\x00",
    b"\xff",
    b"\n\n",
    b"nan",
    b"1e999",
    b"images/",
    b"../",
    b"a.png",
    b"image,x,y\n",
)
WORDS = ("images/a.png", "a.png", "b", "a", [31, 23], [32, 24], [10, 12], 1, 0, [[1, 1]] * 9)


class Points(Target):
    """Points files, JSON and CSV."""

    group = "files"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.domain = write_domain(folder / "domain")

    def mutate(self, random: Random) -> dict[str, bytes]:
        """Damage a points file."""
        if random.random() < 0.6:
            return {"clicks.json": mutate_json(POINTS, random, WORDS)}
        return {"clicks.csv": mutate(random.choice((CSV, CSV_WITHOUT_LABELS)), random, CSV_TOKENS)}

    def attack(self, given: Path) -> str | None:
        """Read it alone and with its domain; what was read can be written."""
        (path,) = given.iterdir()
        images = list(IMAGES)
        refused = refusal(lambda: read_points(path, images), path.name)
        if refused is None:
            found = read_points(path, images)
            again = given / "again.json"
            write_points(again, found.clicks, found.complete)
            if read_points(again, images) != found:
                raise BrokenPromise("clicks are others when they have been written and read again")
        line = refusal(lambda: load_domain(self.domain, "training", path, window=[16, 16], max_points=4))
        return refused or line


class Datalists(Target):
    """``datalist.json`` of a domain folder."""

    group = "files"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        domain = write_domain(folder / "domain")
        names = [*IMAGES, *map(label_of, IMAGES)]
        self.files = {name.replace("/", "-"): (domain / name).read_bytes() for name in names}
        entries = [{"image": image.replace("/", "-"), "label": label_of(image).replace("/", "-")} for image in IMAGES]
        self.sound = {
            "name": "tiny",
            "pixel_size": 20.0,
            "training": entries[:2],
            "validation": [],
            "test": entries[2:],
        }
        self.words = [*self.files, *entries, *SPLITS, "name", "pixel_size", "../domain/images/a.png", [entries[0]] * 40]
        self.network = tiny_network()

    def mutate(self, random: Random) -> dict[str, bytes]:
        """Damage a datalist; its images are sound."""
        return {**self.files, DATALIST: mutate_json(self.sound, random, self.words)}

    def attack(self, given: Path) -> str | None:
        """Read it as trainings, evaluations, inference and the page do."""
        inferer = PromptedSlidingWindowInferer([32, 32], max_points=6)
        results = self.folder / "results"
        refused = refusal(lambda: read_datalist(given), given.name)
        for split in SPLITS:
            refused = refusal(partial(load_domain, given, split)) if not refused and split == "training" else refused
            refusal(partial(evaluation_items, given, split, need_labels=True))
            refusal(partial(inference_items, given, results, split))

        def open_page() -> None:
            with JudgementStore(given / "preferences.sqlite") as store:
                json.dumps(ClickService(given, "training", "p.json", store, load, self.network, inferer).images())

        refusal(open_page)
        return refused
