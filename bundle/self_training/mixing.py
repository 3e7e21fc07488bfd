"""Mixed views of a batch: CutMix and ClassMix."""

from __future__ import annotations

import torch


class RandMix:
    """Paste a part of the next image of the batch into each image (CutMix, ClassMix; Prompt-DAS, strong views).

    Args:
        prob: probability that an image is mixed.
        class_prob: probability that a mixed image gets the other's foreground (ClassMix) and not a box (CutMix).
        area: smallest and largest share of the image that a box covers.
    """

    def __init__(self, prob: float = 0.5, class_prob: float = 0.5, area: tuple[float, float] = (0.1, 0.4)) -> None:
        self.prob = prob
        self.class_prob = class_prob
        self.area = area

    def paste_mask(self, mask: torch.Tensor) -> torch.Tensor:
        """Draw the pixels where the next image is pasted.

        Args:
            mask: (B,1,H,W) foreground of the images, 0 or 1.

        Returns:
            (B,1,H,W) bool, True where the next image of the batch shows.
        """
        b, _, h, w = mask.shape
        u = torch.rand(5, b, 1, 1, 1, device=mask.device)
        # The root of an area is the side of its square, relative to the sides of the image.
        share = (self.area[0] + (self.area[1] - self.area[0]) * u[0]).sqrt()
        x = torch.arange(h, device=mask.device).view(1, 1, h, 1)
        y = torch.arange(w, device=mask.device).view(1, 1, 1, w)
        x0, y0 = u[1] * (1 - share) * h, u[2] * (1 - share) * w
        box = (x >= x0) & (x < x0 + share * h) & (y >= y0) & (y < y0 + share * w)
        chosen = torch.where(u[3] < self.class_prob, mask.roll(1, 0) > 0.5, box)
        return chosen & (u[4] < self.prob)

    def __call__(self, paste: torch.Tensor, *tensors: torch.Tensor) -> list[torch.Tensor]:
        """Mix tensors (B,C,H,W) by a mask from :meth:`paste_mask`."""
        return [torch.where(paste, t.roll(1, 0), t) for t in tensors]
