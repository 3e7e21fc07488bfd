"""Headers of image files, read and checked in plain Python before a C library opens the files."""

from .check import checked, open_regular

__all__ = ["checked", "open_regular"]
