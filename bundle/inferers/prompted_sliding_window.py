"""Sliding-window inference of prompted images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.inferers import SlidingWindowInferer

from bundle.channels import clicks_of
from bundle.data.points import crowded
from bundle.errors import DataError, SettingError


def most_clicks(clicks: torch.Tensor, window: Sequence[int]) -> int:
    """The largest number of clicks that any window of a size can hold, see :func:`bundle.data.points.crowded`.

    Args:
        clicks: (B,2,H,W) of 0 and 1.
        window: (h, w) in pixels; it may be larger than the image.
    """
    return max((crowded(image.nonzero()[:, 1:].tolist(), window) for image in clicks), default=0)


class PromptedSlidingWindowInferer(SlidingWindowInferer):
    """MONAI's sliding window for images whose clicks are channels: each window sees its own clicks, at its own pixels.

    Windows are blended with Gaussian weights. An image smaller than a window is padded with 0, never mirrored: a
    mirrored click would be a false one.

    Args:
        roi_size: window (h, w) in pixels, multiples of the network's ``stride``.
        overlap: of neighbouring windows, in [0, 1).
        sw_batch_size: windows at a time.
        rotations: 1, or 4 to average over rotations by 90 degrees.
        max_points: the most clicks that the network takes for a window.
        kwargs: of :class:`monai.inferers.SlidingWindowInferer`.

    Raises:
        SettingError: for other numbers of rotations or an empty window; when called, and before any window is
            segmented, for a window that the network's stride does not divide.
        DataError: when called, and before any window is segmented: a window has too many clicks.
    """

    def __init__(
        self,
        roi_size: Sequence[int],
        overlap: float = 0.25,
        sw_batch_size: int = 4,
        rotations: int = 1,
        max_points: int = 64,
        **kwargs: Any,
    ) -> None:
        if rotations not in (1, 4):
            raise SettingError(f"rotations must be 1 or 4, got {rotations}")
        if len(roi_size) != 2 or min(roi_size) < 1:
            raise SettingError(f"the window must be [h, w], two numbers of pixels above 0, got {roi_size}")
        super().__init__(roi_size, sw_batch_size, overlap, mode="gaussian", padding_mode="constant", cval=0.0, **kwargs)
        self.window = tuple(roi_size)
        self.rotations = rotations
        self.max_points = max_points

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """Segment (B,3,H,W) images; returns (B,2,H,W), the mean of the logits and densities of all windows."""
        self._check_stride(network)
        self.check_crowding(clicks_of(inputs))
        total: Any = 0
        for k in range(self.rotations):
            out: Any = super().__call__(torch.rot90(inputs, k, (2, 3)), network, *args, **kwargs)
            total = total + torch.rot90(out, -k, (2, 3))
        mean: torch.Tensor = total / self.rotations
        return mean

    def _check_stride(self, network: Callable[..., Any]) -> None:
        """Otherwise the network's output is a bit larger than the window, and MONAI would stretch the mask."""
        stride = getattr(getattr(network, "module", network), "stride", 1)
        if any(length % stride for length in self.window):
            raise SettingError(f"the window {list(self.window)} must be multiples of {stride}, the network's stride")

    def check_crowding(self, clicks: torch.Tensor) -> None:
        """Refuse clicks (B,2,H,W) of 0 and 1 if any window holds more of them than the network takes.

        Raises:
            DataError: a window holds too many.
        """
        if not len(clicks) or clicks.flatten(1).sum(dim=1).max() <= self.max_points:
            return
        # The image is rotated but the window is not: for 90 and 270 degrees the window's sides are swapped.
        windows = [self.window, self.window[::-1]][: min(self.rotations, 2)]
        crowd = max(most_clicks(clicks, window) for window in windows)
        if crowd > self.max_points:
            raise DataError(
                f"{crowd} clicks fall in one window of {tuple(self.window)} pixels, but the network takes at most "
                f"{self.max_points}: use smaller windows, fewer clicks, or a network trained with a larger max_points"
            )
