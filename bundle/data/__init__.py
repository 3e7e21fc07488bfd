"""Domain folders, points files and image files: what the datasets of the bundle are read from."""

from .domain_pair import DomainPairDataset
from .domains import load_domain
from .evaluation import evaluation_items

__all__ = ["DomainPairDataset", "evaluation_items", "load_domain"]
