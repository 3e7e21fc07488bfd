"""Domain folders, points files and image files: what the datasets of the bundle are read from."""

from .compact_map import CompactMap
from .domain_folder import check_crowding, load_domain
from .domain_pair_dataset import DomainPairDataset
from .evaluation_items import evaluation_items
from .inference_items import inference_items
from .item_summary import summarize_items
from .pixel_size import domain_pixel_size
from .reseeded_dataset import ReseededDataset

__all__ = [
    "CompactMap",
    "DomainPairDataset",
    "ReseededDataset",
    "check_crowding",
    "domain_pixel_size",
    "evaluation_items",
    "inference_items",
    "load_domain",
    "summarize_items",
]
