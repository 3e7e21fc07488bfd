"""What the trainers take for a batch. The names are those of :mod:`bundle.keys`, which says what each holds."""

from __future__ import annotations

from typing import TypedDict

import torch


class SourceBatch(TypedDict):
    """Labelled images of the source domain.

    Attributes:
        image: (B,3,H,W) float32 with random clicks.
        label: (B,1,H,W) of 0 and 1.
        density: (B,1,H,W) in [0,1].
    """

    image: torch.Tensor
    label: torch.Tensor
    density: torch.Tensor


class TargetBatch(TypedDict):
    """Images of the target domain, of which nothing is known but the clicks.

    Attributes:
        image: (B,3,H,W) float32, the weak view with the given clicks.
        strong: (B,1,H,W) float32, the strong view of the same pixels.
        complete: (B,) bool.
        index: (B,) long.
    """

    image: torch.Tensor
    strong: torch.Tensor
    complete: torch.Tensor
    index: torch.Tensor


class AdaptationBatch(TypedDict):
    """Both domains.

    Attributes:
        source: as supervised training takes it.
        target: as many images.
    """

    source: SourceBatch
    target: TargetBatch


class PreferenceBatch(TypedDict):
    """Crops with judged regions.

    Attributes:
        image: (B,3,H,W) float32 with the given clicks.
        candidates: (B,K,H,W) of 0 and 1.
        regions: (B,H,W) long, the region of a pixel in [0,R), or -1.
        chosen: (B,R) long, the chosen candidate of a region in [0,K), -1 for no judgement, ``NONE`` for none of these.
    """

    image: torch.Tensor
    candidates: torch.Tensor
    regions: torch.Tensor
    chosen: torch.Tensor
