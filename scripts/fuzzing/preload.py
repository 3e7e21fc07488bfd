"""What children need, imported once in the process that they are forked from.

ITK loads its parts when they are named.
"""

import itk

import scripts.fuzzing.targets  # noqa: F401

for _part in ("ImageIOFactory", "ImageFileReader", "PyBuffer"):
    getattr(itk, _part)
