"""Stands in for torchvision where none is installed: MONAI Label imports two functions that nothing here calls."""

__version__ = "0.0.0"
