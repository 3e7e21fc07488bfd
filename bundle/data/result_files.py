"""Names of the files that an inference writes."""

from collections.abc import Sequence
from pathlib import Path

from bundle.data.image_files import stem, suffix_of
from bundle.errors import DataError

RESULTS = ("mask", "density", "instances")
"""The files that are written for each image, in its format."""

TABLE = "mitochondria.csv"
"""The table of the instances of all images."""


def result_path(image: str | Path, result: str, output_dir: str | Path) -> Path:
    """Name the file of a result: ``<output_dir>/<stem of the image>_<result><suffix of the image>``.

    Args:
        image: path of the image.
        result: one of `RESULTS`.
        output_dir: folder of the results.

    Returns:
        The path. For an MHD image it ends in ``.mha``, the same format in one file rather than two.
    """
    suffix = suffix_of(image)
    return Path(output_dir) / f"{stem(image)}_{result}{'.mha' if suffix == '.mhd' else suffix}"


def picture_path(image: str | Path, output_dir: str | Path) -> Path:
    """Name the picture of an image's instances: ``<output_dir>/<stem of the image>_overlay.png``."""
    return Path(output_dir) / f"{stem(image)}_overlay.png"


def check_results(images: Sequence[str], output_dir: Path) -> None:
    """Refuse a folder in which a result would overwrite another result or an input.

    Args:
        images: absolute paths of all images to be segmented.
        output_dir: folder of the results, which may be missing.

    Raises:
        DataError: it is a file, two images have the same stem, or an image lies in it.
    """
    if output_dir.exists() and not output_dir.is_dir():
        raise DataError(f"{output_dir}: is a file; output_dir is a folder")
    by_stem: dict[str, str] = {}
    for image in images:
        # case-folded: on some file systems A_mask.png and a_mask.png are one file
        other = by_stem.setdefault(stem(image).casefold(), image)
        if other != image:
            raise DataError(
                f"{image}: has the same stem as {other}, and results are named by it. Rename one, or segment them "
                "one by one into different output_dirs"
            )
        if Path(image).parent.resolve() == output_dir.resolve():
            raise DataError(f"{output_dir}: holds the image {Path(image).name}; choose an output_dir without inputs")
