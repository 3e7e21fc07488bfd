"""Pairs of a source and a target item, for adaptation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import CacheDataset, Dataset
from monai.data.utils import set_rnd
from monai.transforms import Randomizable
from monai.utils import MAX_SEED
from skimage.exposure import match_histograms

from bundle import keys as K
from bundle.channels import clicks_of, em_of, prompted
from bundle.errors import SettingError


class DomainPairDataset(CacheDataset, Randomizable):
    """Target items, each beside a random source item: ``{"source": {...}, "target": {...}}``.

    A target item gets ``index``, its place in the list.

    Args:
        data: target items. MONAI Label replaces this list by its own, whose items have no clicks and do not say that
            they are complete.
        transform: of the target items; the deterministic head of it is cached.
        source: data set of source items.
        match_prob: probability in [0,1] that the gray values of the source image are matched to those of the target
            image (histogram matching), so that its labels are learnt on target-like images too.
        kwargs: of :class:`monai.data.CacheDataset`.

    Raises:
        SettingError: when ``match_prob`` is out of range.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        transform: Callable[..., Any] | None,
        source: Dataset,
        match_prob: float = 0.0,
        **kwargs: Any,
    ) -> None:
        if not 0 <= match_prob <= 1:
            raise SettingError(f"match_prob must be in [0, 1], got {match_prob}")
        super().__init__(data=[{K.COMPLETE: False, **item} for item in data], transform=transform, **kwargs)
        self.source = source
        self.match_prob = match_prob

    def set_random_state(
        self, seed: int | None = None, state: np.random.RandomState | None = None
    ) -> DomainPairDataset:
        """Set the state of its own draws, and from it those of the target's and of the source's transforms.

        MONAI's data loader calls this for each worker and epoch, and looks no further: without it all of them would
        draw the same, and the source the same as the target.

        Args:
            seed: of the state; None for one that the operating system gives, unless ``state`` is given.
            state: taken as it is.

        Returns:
            This data set.
        """
        super().set_random_state(seed, state)
        for part in (self.transform, self.source):
            set_rnd(part, int(self.R.randint(MAX_SEED, dtype="uint32")))
        return self

    def __getitem__(self, index: Any) -> dict[str, Any]:
        """Return the target item at an index and a random source item."""
        target = {**super().__getitem__(index), K.INDEX: index}
        source = self.source[self.R.randint(len(self.source))]
        if self.R.rand() < self.match_prob:
            source = {**source, K.IMAGE: match_gray_values(source[K.IMAGE], target[K.IMAGE])}
        return {K.SOURCE: source, K.TARGET: target}


def match_gray_values(image: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Match the EM of a prompted image (3,X,Y) to the histogram of another's; its clicks do not change."""
    matched = match_histograms(em_of(image)[0].numpy(), em_of(reference)[0].numpy())
    return prompted(torch.from_numpy(matched).to(image)[None], clicks_of(image))
