"""What image files say of themselves, read and judged in plain Python before a C library opens them."""

from .judge import judged, open_regular

__all__ = ["judged", "open_regular"]
