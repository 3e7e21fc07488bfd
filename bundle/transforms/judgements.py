"""Judgements as maps, so that crops, flips and rotations apply to them as to their image."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform, Randomizable, Transform

from bundle import keys as K
from bundle.errors import DataError
from bundle.losses.preference import chosen_mask
from bundle.preferences.candidates.comparison import disputed
from bundle.preferences.candidates.files import read_candidates
from bundle.preferences.questions.regions import split_regions

JudgedRegion = tuple[str, int, int, tuple[int, ...]]
"""region_split, region_index, chosen and options of a judgement."""


class LoadJudgementsd(MapTransform):
    """Read the candidates of an item and draw its judgements.

    Needs ``candidates_file`` and ``judgements``, a list of (region_split, region_index, chosen, options). Adds
    ``candidates`` (K,X,Y) float32; ``regions`` and ``chosen`` (1,X,Y) int32, both counted from 1 with 0 for none, as
    padding adds it, and -1 in ``chosen`` for *none of these*; ``judged`` (1,X,Y) float32. Candidates that were not
    among the options of a region are copies of the chosen one there. Where there are fewer than ``max_candidates``,
    copies of the chosen mask are added. Copies do not count as rejected.

    Args:
        keys: the image, whose shape the candidates must have.
        max_candidates: K.

    Raises:
        DataError: when called: the candidates have another shape than the image, or there are more than K.
    """

    def __init__(self, keys: str = K.IMAGE, max_candidates: int = 8) -> None:
        super().__init__(keys)
        self.max_candidates = max_candidates

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its maps."""
        d = dict(data)
        file = d.pop(K.CANDIDATES_FILE)
        masks = read_candidates(file).masks
        for key in self.key_iterator(d):
            if d[key].shape[1:] != masks.shape[1:]:
                raise DataError(f"{file}: candidates of {masks.shape[1:]} pixels, image of {tuple(d[key].shape[1:])}")
        if len(masks) > self.max_candidates:
            raise DataError(f"{file}: {len(masks)} candidates, more than candidates_count {self.max_candidates}")
        judgements = d.pop(K.JUDGEMENTS)
        regions, chosen = judgement_maps(masks, judgements)
        masks = as_shown(masks, regions, judgements)
        best = chosen_together(masks, chosen)[None]
        filled = np.concatenate((masks, *[best] * (self.max_candidates - len(masks))))
        d[K.CANDIDATES] = torch.from_numpy(filled.astype(np.float32))
        d[K.REGIONS], d[K.CHOSEN] = torch.from_numpy(regions[None]), torch.from_numpy(chosen[None])
        judged = disputed(masks) & (chosen != 0)
        d[K.JUDGED] = torch.from_numpy(judged[None].astype(np.float32))
        return d


def judgement_maps(masks: np.ndarray, judgements: Sequence[JudgedRegion]) -> tuple[np.ndarray, np.ndarray]:
    """Draw judged regions and their chosen candidates.

    Args:
        masks: candidates (K,X,Y) bool.
        judgements: (region_split, region_index, chosen, options) of each region, see
            :mod:`bundle.preferences.questions.regions`. Where regions overlap the later one counts.

    Returns:
        Regions and chosen candidates, (X,Y) int32 counted from 1, 0 for none; chosen is -1 for *none of these*.
    """
    splits = {region_split: split_regions(region_split, masks) for region_split, *_ in judgements}
    numbers, chosen = np.zeros(masks.shape[1:], np.int32), np.zeros(masks.shape[1:], np.int32)
    for number, (region_split, region_index, choice, _) in enumerate(judgements, start=1):
        inside = splits[region_split] == region_index
        numbers[inside], chosen[inside] = number, choice + 1
    return numbers, chosen


def as_shown(masks: np.ndarray, regions: np.ndarray, judgements: Sequence[JudgedRegion]) -> np.ndarray:
    """Replace candidates that were no options by the chosen one in their region (for *none of these* by an option).

    As copies they count neither as rejected nor as disagreement.

    Args:
        masks: candidates (K,X,Y) bool.
        regions: (X,Y) int32 of :func:`judgement_maps`, of the same judgements.
        judgements: likewise.

    Returns:
        (K,X,Y) bool.
    """
    shown: np.ndarray = masks.copy()
    for number, (_, _, choice, options) in enumerate(judgements, start=1):
        inside = regions == number
        for hidden in set(range(len(masks))) - set(options):
            shown[hidden, inside] = masks[choice if choice >= 0 else options[0], inside]
    return shown


def chosen_together(masks: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Compose one mask of the chosen candidates of all regions.

    Args:
        masks: candidates (K,X,Y) bool.
        chosen: (X,Y) of :func:`judgement_maps`.

    Returns:
        (X,Y) bool: at each pixel the value of the chosen candidate; where there is none, of candidate 0.
    """
    choice = torch.from_numpy(chosen)[None].long() - 1
    return chosen_mask(torch.from_numpy(masks)[None], choice)[0].numpy()


class GatherChosend(Randomizable, Transform):
    """Turn the cropped maps into the inputs of :class:`bundle.losses.PreferenceLoss`.

    ``regions`` (1,X,Y) becomes (X,Y) long, renumbered from 0, -1 for none; ``chosen`` becomes (R,) long, -1 for
    regions that the crop does not have, ``NONE`` for *none of these*. Where it has more than R, R of them are drawn.

    Args:
        max_regions: R.
    """

    def __init__(self, max_regions: int = 64) -> None:
        self.max_regions = max_regions

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with ``regions`` and ``chosen`` replaced."""
        d = dict(data)
        numbers, chosen = (torch.as_tensor(d[key])[0].long() for key in (K.REGIONS, K.CHOSEN))
        found, where = numbers.unique(return_inverse=True)
        kept = torch.nonzero(found).flatten()
        if len(kept) > self.max_regions:
            kept = kept[torch.from_numpy(self.R.permutation(len(kept))[: self.max_regions])]
        place = torch.full_like(found, -1)
        place[kept] = torch.arange(len(kept))
        regions = place[where]
        choice = torch.full((self.max_regions,), -1, dtype=torch.long)
        inside = regions >= 0
        choice[regions[inside]] = chosen[inside] - 1
        d[K.REGIONS], d[K.CHOSEN] = regions, choice
        return d
