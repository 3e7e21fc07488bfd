"""Connected components of a batch of masks."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

IN_PLANE = np.zeros((3, 3, 3), dtype=int)
IN_PLANE[1] = 1


class Components:
    """The 8-connected components of a batch of masks.

    They are labelled on the CPU: one copy there and back, where growing them on a GPU would wait for it once a pixel.

    Args:
        mask: (B,1,H,W) bool.

    Attributes:
        labels: (B,H,W) long, 0 for background, 1 to ``count`` over the whole batch.
        count: number of components n.
    """

    def __init__(self, mask: torch.Tensor) -> None:
        found, self.count = ndimage.label(mask[:, 0].cpu().numpy(), structure=IN_PLANE)
        self._array: np.ndarray = found.astype(np.int64)
        self.labels = torch.from_numpy(self._array).to(mask.device)

    def holding(self, seeds: torch.Tensor) -> torch.Tensor:
        """All components that hold a seed (morphological reconstruction by dilation).

        Args:
            seeds: (B,1,H,W) bool.

        Returns:
            (B,1,H,W) bool.
        """
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
        owners = self._array[tuple(places.T)]
        number = np.bincount(owners, minlength=self.count + 1)
        boxes = ndimage.find_objects(self._array)
        for i in np.flatnonzero((owners > 0) & (number[owners] == 1)):
            box = boxes[owners[i] - 1]
            pixels = np.argwhere(self._array[box] == owners[i])
            nearest = pixels[np.square(pixels - pixels.mean(axis=0)).sum(axis=1).argmin()]
            places[i] = nearest + [side.start for side in box]
        moved = torch.zeros_like(seeds)
        b, x, y = torch.from_numpy(places.T).to(seeds.device)
        moved[b, 0, x, y] = True
        return moved
