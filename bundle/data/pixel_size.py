"""The pixel size that a command works at, and that of an image: what the data tell, and else what a person says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from bundle.data.domain_folder import DATALIST, SYNTHETIC, read_datalist
from bundle.errors import DataError, SettingError

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
    mend = f"leave it out, or prepare the data anew with --output-pixel-size {given}, at which weights may work"
    size = _agreed(found, given, "pixel_size", "prepare both with one --output-pixel-size", mend)
    if size is None and required:
        for file in lists:
            read_datalist(file.parent)  # names one that is missing
        silent = (
            f"{' and '.join(map(str, lists))}: no pixel_size there" if lists else "synthetic tissue has any pixel size"
        )
        raise DataError(f"{silent}; give --pixel_size NM, in nanometres")
    return size


def image_pixel_size(told: Mapping[str, float | None], given: float | None) -> float | None:
    """Return the pixel size of one image.

    Args:
        told: nanometres per pixel by the file that says so, the image's own first; None for one that does not tell.
        given: nanometres per pixel, as a person says of all images; None where nothing is said.

    Returns:
        Nanometres per pixel; None if nobody tells.

    Raises:
        DataError: two files differ by more than `TOLERANCE`.
        SettingError: ``given`` is no number above 0, or differs from one of them by more than `TOLERANCE`.
    """
    return _agreed(told, given, "image_pixel_size", "correct the one that is wrong")


def unknown_pixel_size(image: str | Path) -> DataError:
    """The error for an image that is to be resampled, of which nobody tells the pixel size.

    Args:
        image: its path.
    """
    return DataError(
        f"{image}: tells no pixel size that can be trusted; give it in nanometres, --image_pixel_size NM for a bundle "
        "command, PIXEL_SIZE=NM for make"
    )


def check_nanometres(name: str, value: float | None) -> None:
    """Refuse a pixel size that is neither a number above 0 nor None.

    Args:
        name: of the setting.
        value: what a person gave.

    Raises:
        SettingError: it is something else.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (number and 0 < value < math.inf):
        raise SettingError(f"{name} is {value!r}, expected a number above 0, in nanometres")


def _agreed(
    found: Mapping[str, float | None],
    given: float | None,
    name: str,
    remedy: str,
    mend: str = "leave it out, or correct what is wrong",
) -> float | None:
    """The first of the numbers, which stand where the keys say, once all agree with it; else ``given``.

    ``remedy`` is for numbers that differ, ``mend`` for a given one that differs: an overlay of weights gives it too.
    """
    check_nanometres(name, given)
    told = {place: nm for place, nm in found.items() if nm is not None}
    if not told:
        return None if given is None else float(given)
    first, size = next(iter(told.items()))
    for place, nm in told.items():
        if not math.isclose(nm, size, rel_tol=TOLERANCE):
            raise DataError(f"{place}: has pixels of {nm:g} nm, but {first} of {size:g} nm; {remedy}")
    if given is not None and not math.isclose(given, size, rel_tol=TOLERANCE):
        raise SettingError(f"--{name} {given:g}: {first} says {size:g} nm; {mend}")
    return float(size)
