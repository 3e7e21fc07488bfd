"""Synthetic electron microscopy with mitochondria: tissue of random styles, and the two small comparison domains."""

from bundle.synthetic.random_style import random_style
from bundle.synthetic.render import render
from bundle.synthetic.source_items import source_items
from bundle.synthetic.synthetic_dataset import SyntheticDataset
from bundle.synthetic.tissue_style import TissueStyle

__all__ = ["SyntheticDataset", "TissueStyle", "random_style", "render", "source_items"]
