"""Connected components of a batch of masks."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from scipy import ndimage

IN_PLANE = np.zeros((3, 3, 3), dtype=int)
IN_PLANE[1] = 1


class Components:
    """The 8-connected components of a batch of masks.

    They are labelled on the CPU: one copy there and back, where growing them on a GPU would wait for it once a pixel;
    and only when they are asked for, since in many batches nothing is clicked.

    Args:
        mask: (B,1,H,W) bool.
    """

    def __init__(self, mask: torch.Tensor) -> None:
        self._mask = mask

    @cached_property
    def _found(self) -> tuple[np.ndarray, int]:
        found, count = ndimage.label(self._mask[:, 0].cpu().numpy(), structure=IN_PLANE)
        return found.astype(np.int64), int(count)

    @property
    def count(self) -> int:
        """Number of components n."""
        return self._found[1]

    @cached_property
    def labels(self) -> torch.Tensor:
        """(B,H,W) long, 0 for background, 1 to ``count`` over the whole batch."""
        return torch.from_numpy(self._found[0]).to(self._mask.device)

    def holding(self, seeds: torch.Tensor) -> torch.Tensor:
        """All components that hold a seed (morphological reconstruction by dilation).

        Args:
            seeds: (B,1,H,W) bool.

        Returns:
            (B,1,H,W) bool.
        """
        if not seeds.any():
            return torch.zeros_like(seeds)
        held = torch.zeros(self.count + 1, dtype=torch.bool, device=self.labels.device)
        held[self.labels[seeds[:, 0]]] = True
        held[0] = False
        return held[self.labels].unsqueeze(1)

    def centres_of(self, seeds: torch.Tensor) -> torch.Tensor:
        """Move seeds to the centres of their components.

        Args:
            seeds: (B,1,H,W) bool.

        Returns:
            (B,1,H,W) bool. A seed that is alone in its component is moved to the pixel of it that lies nearest to the
            centroid. One in a component with several seeds, which may be several touching instances, or outside of all
            components, stays.
        """
        places = np.argwhere(seeds[:, 0].cpu().numpy())
        if len(places) == 0:
            return torch.zeros_like(seeds)
        array, count = self._found
        owners = array[tuple(places.T)]
        number = np.bincount(owners, minlength=count + 1)
        boxes = ndimage.find_objects(array)
        for i in np.flatnonzero((owners > 0) & (number[owners] == 1)):
            box = boxes[owners[i] - 1]
            pixels = np.argwhere(array[box] == owners[i])
            nearest = pixels[np.square(pixels - pixels.mean(axis=0)).sum(axis=1).argmin()]
            places[i] = nearest + [side.start for side in box]
        moved = torch.zeros_like(seeds)
        b, x, y = torch.from_numpy(places.T).to(seeds.device)
        moved[b, 0, x, y] = True
        return moved
