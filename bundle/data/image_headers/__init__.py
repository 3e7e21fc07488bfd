"""What image files say of themselves, read and checked in plain Python before a C library opens them."""

from .check import checked, open_regular

__all__ = ["checked", "open_regular"]
