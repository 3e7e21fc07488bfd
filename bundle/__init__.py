"""Prefer-DAS: promptable domain adaptive segmentation of electron microscopy, as a MONAI bundle."""
