"""A MONAI Label app around the bundle; ``python -m scripts.label_server`` serves it."""

from lib.app import PreferDasApp

__all__ = ["PreferDasApp"]
