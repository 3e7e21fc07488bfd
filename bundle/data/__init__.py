"""Domain folders, points files and image files: what the datasets of the bundle are read from."""

from .domain_pair import DomainPairDataset
from .domains import load_domain
from .evaluation import evaluation_items
from .inputs import inference_items
from .item_summary import summarize_items

__all__ = ["DomainPairDataset", "evaluation_items", "inference_items", "load_domain", "summarize_items"]
