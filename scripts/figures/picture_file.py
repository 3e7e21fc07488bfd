"""The end of the programs that draw a picture for the documents."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from bundle.atomic import make_folder, replacing
from bundle.errors import MendableError


def write_picture(path: Path, draw: Callable[[], Image.Image]) -> int:
    """Draw a picture and write it as a PNG file, whole or not at all, then print its path.

    Args:
        path: the file; its folder is made when absent.
        draw: makes the picture. What it says a person can mend is printed as one line.

    Returns:
        The program's exit status, 0 or 1.
    """
    output = path.absolute()
    try:
        picture = draw()
        make_folder(output.parent)
        with replacing(output, ".png") as partial:
            picture.save(partial, optimize=True)
    except MendableError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(path)
    return 0
