"""A file that appears complete or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside ``path`` whose file takes its place when the block ends without an exception.

    A reader, or a run that is killed, meets the old file or the new one, never a part.

    Args:
        path: file to be written or replaced; its folder must exist.

    Yields:
        The temporary name. What is left under it if the block fails is deleted.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
