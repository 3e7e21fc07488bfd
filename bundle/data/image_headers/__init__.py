"""Headers of image files, read and checked in plain Python before a C library opens the files."""

from .judge import judged, open_regular

__all__ = ["judged", "open_regular"]
