"""The report of a comparison: one page with the table and the same images under every row."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import numpy as np
from PIL import Image

from bundle.atomic import replacing
from bundle.handlers.extreme_pictures import FOLDER as EXTREMES
from scripts.comparison.person_time import PersonTime

TEMPLATE = Path(__file__).with_suffix(".html.j2")
MODES = ("automatic", "interactive")


@dataclass(frozen=True)
class Row:
    """A row of the comparison.

    Attributes:
        name: of the row.
        folder: of its evaluation, with ``pictures/`` in it.
        means: ``{mode: {metric: mean}}``.
        cost: ``judgements`` and ``annotation_seconds`` of a row that learnt from preferences, else empty.
        time: what a person gave, the rows that it starts from included.
        spread: as ``means``, the standard deviation over several seeds; empty for one.
        seeds: how many the means are of.
    """

    name: str
    folder: Path
    means: dict[str, dict[str, float]]
    cost: dict[str, float] = field(default_factory=dict)
    time: PersonTime = field(default_factory=PersonTime)
    spread: dict[str, dict[str, float]] = field(default_factory=dict)
    seeds: int = 1


def write_report(
    folder: Path,
    title: str,
    rows: list[Row],
    judged: str | None = None,
    noise: Path | None = None,
    minutes: Path | None = None,
    curves: Path | None = None,
) -> Path:
    """Write ``report.html``, which holds its pictures itself and so can be sent by mail.

    Args:
        folder: where it goes.
        title: of the page.
        rows: of the table; the first row's evaluation provides the images and truths.
        judged: row whose ``judgements.png`` is shown, and its worst and best images.
        noise: figure of the annotators' errors, if there is one.
        minutes: figure of Dice against a person's minutes.
        curves: figure of the learning curves.

    Returns:
        The path of the page.
    """
    template = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE.parent), autoescape=True, undefined=jinja2.StrictUndefined
    ).get_template(TEMPLATE.name)
    metrics = list(next(iter(rows[0].means.values())))
    shown = next((row for row in rows if row.name == judged), None)
    judgements = shown.folder / "judgements.png" if shown else None
    figures = {"judgements": judgements, "noise": noise, "minutes": minutes, "curves": curves}
    page = template.render(
        title=title,
        rows=rows,
        metrics=metrics,
        modes=MODES,
        images=_images(rows),
        judged=judged,
        seeds=rows[0].seeds,
        extremes=_extremes(shown.folder) if shown else {},
        **{name: _embedded(path) if path is not None and path.is_file() else None for name, path in figures.items()},
    )
    path = folder / "report.html"
    with replacing(path) as partial:
        partial.write_text(page, encoding="utf-8")
    return path


def write_overview(folder: Path, rows: list[Row], names: tuple[str, ...]) -> Path:
    """Write ``overview.png``: one image, its truth, and the automatic masks of some rows side by side.

    Args:
        folder: where it goes.
        rows: as of :func:`write_report`.
        names: rows to show.

    Returns:
        The path of the picture.
    """
    pictures = rows[0].folder / "pictures"
    stem = min(p.name.removesuffix("_truth.png") for p in pictures.glob("*_truth.png"))
    files = [pictures / f"{stem}_image.png", pictures / f"{stem}_truth.png"]
    files += [row.folder / "pictures" / f"{stem}_automatic.png" for row in rows if row.name in names]
    path = folder / "overview.png"
    picture = Image.fromarray(np.concatenate([np.asarray(Image.open(file)) for file in files], axis=1))
    with replacing(path) as partial:
        picture.save(partial, format="PNG")
    return path


def _images(rows: list[Row]) -> list[tuple[str, list[tuple[str, str]]]]:
    """For each image that was drawn: its name, and captions with pictures."""
    stems = sorted(p.name.removesuffix("_image.png") for p in (rows[0].folder / "pictures").glob("*_image.png"))
    return [(stem, _strip(rows, stem)) for stem in stems]


def _strip(rows: list[Row], stem: str) -> list[tuple[str, str]]:
    wanted = [("image", rows[0].folder, "image"), ("truth", rows[0].folder, "truth")]
    wanted += [(row.name, row.folder, "automatic") for row in rows]
    wanted += [(f"{row.name}, with clicks", row.folder, "interactive") for row in rows]
    files = [(caption, folder / "pictures" / f"{stem}_{kind}.png") for caption, folder, kind in wanted]
    return [(caption, _embedded(path)) for caption, path in files if path.is_file()]


def _extremes(folder: Path) -> dict[str, list[tuple[str, str]]]:
    """``worst`` and ``best``: for each picture a caption with its Dice, and the picture; only kinds that there are."""
    found: dict[str, list[tuple[str, str]]] = {}
    for kind in ("worst", "best"):
        for file in sorted((folder / EXTREMES).glob(f"{kind}_*.png")):
            _, _, dice, name = file.stem.split("_", 3)
            found.setdefault(kind, []).append((f"{name}: Dice {dice}", _embedded(file)))
    return found


def _embedded(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
