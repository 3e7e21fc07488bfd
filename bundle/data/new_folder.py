"""A folder that appears complete or not at all."""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bundle.data.domains import DATALIST
from bundle.errors import DataError


def check_replaceable(output: Path, overwrite: bool, inputs: Iterable[Path]) -> None:
    """Refuse an output folder that would destroy something.

    Args:
        output: folder to be written; it may be missing or empty.
        overwrite: a domain folder may be replaced.
        inputs: files that must not be inside of it.

    Raises:
        DataError: the folder is in use, is no domain folder, or holds an input.
    """
    if output.exists() and not output.is_dir():
        raise DataError(f"{output}: is a file; expected a folder to write to")
    if not output.exists() or not any(output.iterdir()):
        return
    if not overwrite:
        raise DataError(f"{output}: is not empty; choose another output, or replace it with --overwrite")
    if not (output / DATALIST).is_file():
        raise DataError(f"{output}: holds no {DATALIST}, so it is no domain folder and is not overwritten")
    for file in inputs:
        if file.resolve().is_relative_to(output.resolve()):
            raise DataError(f"{file}: is an input inside of the output {output}; choose another output")


@contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``output`` that takes its place when the block ends without an exception.

    Args:
        output: folder to be written or replaced.

    Yields:
        The temporary folder, empty. It is deleted if the block fails.
    """
    output = output.absolute()
    output.parent.mkdir(parents=True, exist_ok=True)
    partial, replaced = (output.with_name(f".{output.name}.{os.getpid()}.{kind}") for kind in ("partial", "replaced"))
    partial.mkdir()
    try:
        yield partial
        if output.exists():
            output.rename(replaced)
        partial.rename(output)
        shutil.rmtree(replaced, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
