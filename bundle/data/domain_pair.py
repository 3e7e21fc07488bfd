"""Pairs of a source and a target item, for adaptation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from monai.data import CacheDataset, Dataset
from monai.transforms import Randomizable

from bundle import keys as K


class DomainPairDataset(CacheDataset, Randomizable):
    """Target items, each beside a random source item: ``{"source": {...}, "target": {...}}``.

    A target item gets ``index``, its place in the list.

    Args:
        data: target items. MONAI Label replaces this list by its own, whose items have no clicks and do not say that
            they are complete.
        transform: of the target items; the deterministic head of it is cached.
        source: data set of source items.
        kwargs: of :class:`monai.data.CacheDataset`.
    """

    def __init__(self, data: Sequence[dict], transform: Callable | None, source: Dataset, **kwargs: Any) -> None:
        super().__init__(data=[{K.COMPLETE: False, **item} for item in data], transform=transform, **kwargs)
        self.source = source

    def __getitem__(self, index: Any) -> dict[str, Any]:
        """The target item at an index with a source item drawn at random."""
        target = {**super().__getitem__(index), K.INDEX: index}
        return {K.SOURCE: self.source[self.R.randint(len(self.source))], K.TARGET: target}
