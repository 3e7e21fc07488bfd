"""Segment an image again after every click, without encoding it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from bundle.inferers.prompted_sliding_window import PromptedSlidingWindowInferer
from bundle.networks.prompt_encoder import clicks_to_points
from bundle.networks.promptable_segmenter import PromptableSegmenter


class ClickSession:
    """One image and its clicks, which come and go; the answer is that of the inferer, only sooner.

    The first :meth:`segment` encodes all windows and keeps their features, for the compact encoder about 3.5 MB for a
    window of 256x256 pixels. From then on only windows whose clicks changed are decoded, and none is encoded.

    Args:
        network: the network; it must not be trained while the session lasts.
        inferer: how the image is cut into windows and put together.
        image: (1,X,Y) the normalised EM, on the network's device.

    Raises:
        ValueError: when ``image`` has another shape.
    """

    def __init__(
        self, network: PromptableSegmenter, inferer: PromptedSlidingWindowInferer, image: torch.Tensor
    ) -> None:
        if image.ndim != 3 or image.shape[0] != 1:
            raise ValueError(f"image has the shape {tuple(image.shape)}, expected (1,X,Y)")
        self.image = image
        self._inferer = inferer
        self._network = RememberingNetwork(network)

    @torch.inference_mode()
    def segment(self, clicks: torch.Tensor) -> torch.Tensor:
        """Segment the image with these clicks, whatever they were before.

        Args:
            clicks: (2,X,Y), 1 at each click and 0 elsewhere: foreground, background.

        Returns:
            (2,X,Y): mask logits and density.

        Raises:
            ValueError: when ``clicks`` has another shape, or more fall in one window than the network takes.
        """
        expected = (2, *self.image.shape[1:])
        if clicks.shape != expected:
            raise ValueError(f"clicks have the shape {tuple(clicks.shape)}, expected {expected}")
        self._network.rewind()
        return self._inferer(torch.cat((self.image, clicks.to(self.image)))[None], self._network)[0]


@dataclass
class Window:
    """What is known of a window.

    Attributes:
        embedding: (1,C,h,w).
        fine: finer features, each with a batch axis of 1.
        clicks: (2,H,W) that ``output`` was made with; None before the first time.
        output: (2,H,W).
    """

    embedding: torch.Tensor
    fine: list[torch.Tensor]
    clicks: torch.Tensor | None = None
    output: torch.Tensor | None = None


class RememberingNetwork:
    """A network for a sliding window that goes over the same image again and again, always in the same order.

    Args:
        network: the network.
    """

    def __init__(self, network: PromptableSegmenter) -> None:
        self.stride = network.stride
        self._network = network.eval()
        self._windows: list[Window] = []
        self._next = 0

    def rewind(self) -> None:
        """Tell that the next window is the first."""
        self._next = 0

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Segment the next windows (B,3,H,W) to (B,2,H,W)."""
        first, self._next = self._next, self._next + len(x)
        if self._next > len(self._windows):
            self._encode(x[len(self._windows) - first :, :1])
        windows, clicks = self._windows[first : self._next], x[:, 1:]
        changed = [
            i for i, window in enumerate(windows) if window.clicks is None or not torch.equal(window.clicks, clicks[i])
        ]
        if changed:
            self._decode([windows[i] for i in changed], clicks[changed])
        outputs: list[Any] = [window.output for window in windows]
        return torch.stack(outputs)

    def _encode(self, images: torch.Tensor) -> None:
        """Remember windows (B,1,H,W) that are seen for the first time."""
        embedding, fine = self._network.encode(images)
        self._windows += [
            Window(embedding[i : i + 1], [features[i : i + 1] for features in fine]) for i in range(len(images))
        ]

    def _decode(self, windows: list[Window], clicks: torch.Tensor) -> None:
        embedding = torch.cat([window.embedding for window in windows])
        fine: list[Any] = [torch.cat(features) for features in zip(*(window.fine for window in windows), strict=True)]
        # As many places for points as are needed, for a decoder that attends to padding wastes time on it.
        count = max(1, int(clicks.flatten(1).sum(dim=1).max()))
        outputs = self._network.decode(embedding, fine, *clicks_to_points(clicks, count))
        for window, given, output in zip(windows, clicks, outputs, strict=True):
            window.clicks, window.output = given, output
