"""The pixel size that a command works at: what the data tell, and else what a person says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.data.domain_folder import DATALIST, SYNTHETIC, read_datalist
from bundle.data.image_files import read_section_header
from bundle.data.inference_items import domain_folder_of
from bundle.errors import DataError, SettingError
from bundle.keys import IMAGE

TOLERANCE = 0.01
"""Share by which two numbers for one pixel size may differ, as those of two axes may in a file."""


def domain_pixel_size(folders: Sequence[str | Path], given: float | None, required: bool) -> float | None:
    """Return the pixel size of domains that are used together.

    A folder that is missing, or has no list, does not tell: whoever needs its images will name it. Nor does synthetic
    tissue, which is rendered at the pixel size that this returns.

    Args:
        folders: domain folders, or ``synthetic``. Of numbers that agree the first one is taken.
        given: nanometres per pixel, as a person says; None where nothing is said.
        required: refuse when nobody tells.

    Returns:
        Nanometres per pixel; None if nobody tells.

    Raises:
        DataError: two folders differ by more than `TOLERANCE`; a list is malformed; or nobody tells and it is required.
        SettingError: ``given`` is no number above 0, or differs from a folder by more than `TOLERANCE`.
    """
    lists = [Path(folder) / DATALIST for folder in dict.fromkeys(map(str, folders)) if folder != SYNTHETIC]
    found = {str(file): read_datalist(file.parent)["pixel_size"] for file in lists if file.is_file()}
    told = {place: nm for place, nm in found.items() if nm is not None}
    mend = f"leave it out, or prepare the data anew with --output-pixel-size {given}, at which weights may work"
    size = _agreed(told, given, "prepare both with one --output-pixel-size", mend)
    if size is None and required:
        for file in lists:
            read_datalist(file.parent)  # names one that is missing
        silent = (
            f"{' and '.join(map(str, lists))}: no pixel_size there" if lists else "synthetic tissue has any pixel size"
        )
        raise DataError(f"{silent}; give --pixel_size NM, in nanometres")
    return size


def inference_pixel_size(items: Sequence[Mapping[str, Any]], path: str | Path, given: float | None) -> float | None:
    """Return the pixel size of images to segment: that of their files, else of their domain, else ``given``.

    Args:
        items: items of :func:`bundle.data.inference_items`. Files tell where their header states a unit, see
            :func:`bundle.data.image_files.read_header`.
        path: what the items were listed from.
        given: nanometres per pixel, as a person says; None where nothing is said.

    Returns:
        Nanometres per pixel; None if nobody tells.

    Raises:
        DataError: two of the files, or a file and the datalist, differ by more than `TOLERANCE`.
        SettingError: ``given`` is no number above 0, or differs from one of them by more than `TOLERANCE`.
    """
    told = {item[IMAGE]: read_section_header(item[IMAGE]).pixel_size for item in items}
    folder = domain_folder_of(Path(path).absolute())
    if folder is not None:
        told[str(folder / DATALIST)] = read_datalist(folder)["pixel_size"]
    return _agreed({place: nm for place, nm in told.items() if nm is not None}, given, "segment them one by one")


def _agreed(
    told: Mapping[str, float], given: float | None, remedy: str, mend: str = "leave it out, or correct what is wrong"
) -> float | None:
    """The first of the numbers, which stand where the keys say, once all agree with it; else ``given``.

    ``remedy`` is for numbers that differ, ``mend`` for a given one that differs: an overlay of weights gives it too.
    """
    number = isinstance(given, int | float) and not isinstance(given, bool)
    if given is not None and not (number and 0 < given < math.inf):
        raise SettingError(f"pixel_size is {given!r}, expected a number above 0, in nanometres")
    if not told:
        return None if given is None else float(given)
    first, size = next(iter(told.items()))
    for place, nm in told.items():
        if not math.isclose(nm, size, rel_tol=TOLERANCE):
            raise DataError(f"{place}: has pixels of {nm:g} nm, but {first} of {size:g} nm; {remedy}")
    if given is not None and not math.isclose(given, size, rel_tol=TOLERANCE):
        raise SettingError(f"--pixel_size {given:g}: {first} says {size:g} nm; {mend}")
    return float(size)
