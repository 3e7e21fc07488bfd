"""The files that a domain folder is prepared from: found, paired with their masks and taken apart into sections."""

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from bundle.data.image_files import SUFFIXES, ImageHeader, is_image, is_lossy, left_out, read_header, stem
from bundle.errors import DataError

logger = logging.getLogger(__name__)


class InputFile(NamedTuple):
    """An image that a person gives, and its mask.

    Attributes:
        image: image or stack.
        label: mask of the same size, or None.
        header: header of ``image``.
    """

    image: Path
    label: Path | None
    header: ImageHeader

    def section_names(self) -> list[str]:
        """Name each section: the file's stem, and for a stack ``_z000``, ``_z001``, ... behind it."""
        name = stem(self.image)
        return [name] if self.header.sections == 1 else [f"{name}_z{z:03d}" for z in range(self.header.sections)]


def find_input_files(images: Iterable[str | Path], labels: Iterable[str | Path] = ()) -> list[InputFile]:
    """Find the image files, and the mask of each, and check their headers.

    Masks are paired by stem (``000.png`` and ``000.tif``); a single image and a single mask pair whatever their names.

    Args:
        images: files, and folders whose image files are taken in natural order (2 before 10).
        labels: the same for masks; none means that the images have no masks.

    Returns:
        The input files in the order given.

    Raises:
        DataError: a file is missing or unreadable, an image has no mask or a mask no image, or their sizes differ.
    """
    image_files, label_files = _expand(images), _expand(labels)
    pairs = _pair(image_files, label_files) if label_files else {}
    return [_input_file(image, pairs.get(image)) for image in image_files]


def pixel_sizes(files: Sequence[InputFile], given: float | None, output: float | None) -> dict[InputFile, float]:
    """Return the pixel size of each input file, in nm: ``given``, or else what its header tells.

    Args:
        files: at least one.
        given: nanometres per pixel of all, as a person says; None where nothing is said.
        output: nanometres per pixel that all are resampled to; None for no resampling.

    Raises:
        DataError: a header tells no pixel size that can be trusted, or two disagree and are not resampled.
    """
    if given is not None:
        return dict.fromkeys(files, given)
    sizes: dict[InputFile, float] = {}
    for file in files:
        size = file.header.pixel_size
        if size is None:
            raise DataError(f"{file.image}: tells no pixel size that can be trusted; give --pixel-size in nanometres")
        first = sizes.get(files[0], size)
        if output is None and abs(size - first) > 0.01 * first:
            raise DataError(
                f"{file.image}: has {size:g} nm pixels, but {files[0].image} has {first:g}. "
                "Give the --output-pixel-size that all are resampled to, or the --pixel-size of all"
            )
        sizes[file] = size
    return sizes


def _input_file(image: Path, label: Path | None) -> InputFile:
    header = read_header(image)
    if label is not None:
        other = read_header(label)
        if (other.size, other.sections) != (header.size, header.sections):
            raise DataError(
                f"{label}: has size {(*other.size, other.sections)} (width, height, sections), "
                f"but its image {image} has {(*header.size, header.sections)}"
            )
    return InputFile(image, label, header)


def _expand(paths: Iterable[str | Path]) -> list[Path]:
    return [file for path in map(Path, paths) for file in (_image_files(path) if path.is_dir() else [path])]


def _image_files(folder: Path) -> list[Path]:
    files = [file for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")]
    for file in files:
        if not is_image(file):
            logger.warning("%s: left out, %s", file, left_out(file))
    found = sorted(filter(is_image, files), key=lambda file: _natural(file.name))
    if not found:
        lossy = next((f"; {file.name} {left_out(file)}" for file in files if is_lossy(file)), "")
        raise DataError(f"{folder}: holds no images; expected files of {', '.join(SUFFIXES)}{lossy}")
    return found


def _natural(name: str) -> list[tuple[int, str]]:
    """Split a name into numbers and the rest, so that it sorts by the numbers' values."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]


def _pair(images: Sequence[Path], labels: Sequence[Path]) -> dict[Path, Path]:
    if len(images) == len(labels) == 1:
        return {images[0]: labels[0]}
    by_stem: dict[str, Path] = {}
    for label in labels:
        if stem(label) in by_stem:
            raise DataError(f"{label}: has the same stem as {by_stem[stem(label)]}; expected one mask for each image")
        by_stem[stem(label)] = label
    pairs = {image: by_stem[stem(image)] for image in images if stem(image) in by_stem}
    unused = set(labels) - set(pairs.values())
    if unused:
        raise DataError(f"{min(unused)}: no image has the stem {stem(min(unused))!r}; masks pair with images by stem")
    for image in set(images) - set(pairs):
        raise DataError(f"{image}: no mask has the stem {stem(image)!r}; give every image a mask, or none of them")
    return pairs
