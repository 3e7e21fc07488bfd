"""Segment an image again after every click, without encoding it again."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from monai.data.utils import compute_importance_map

from bundle.channels import clicks_of, em_of, prompted
from bundle.inferers.prompted_sliding_window import PromptedSlidingWindowInferer
from bundle.networks.prompt_encoder import clicks_to_points
from bundle.networks.promptable_segmenter import PromptableSegmenter


class ClickSession:
    """Segment one image for changing clicks, with the result of the inferer in less time.

    The first :meth:`segment` encodes all windows and keeps their features: about 3.5 MB for a window of 256x256 pixels
    with the compact encoder. Later calls encode nothing, decode only the windows whose clicks changed, and blend only
    the pixels that these cover.

    Args:
        network: the network; its weights must not change during the session.
        inferer: cuts the image into windows and blends them.
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
        self._inferer = copy.copy(inferer)
        self._inferer.with_coord = True
        self._network = RememberingNetwork(network)
        # In turned images, and in those that are smaller than a window, windows have other coordinates.
        self._in_place = inferer.rotations == 1 and all(
            side >= window for side, window in zip(image.shape[1:], inferer.window, strict=True)
        )
        self._weights = compute_importance_map(
            inferer.window, inferer.mode, inferer.sigma_scale, image.device, image.dtype
        )
        self._answer: torch.Tensor | None = None
        self._clicks = torch.zeros_like(image)

    @torch.inference_mode()
    def segment(self, clicks: torch.Tensor) -> torch.Tensor:
        """Segment the image with these clicks, which replace the earlier ones.

        Args:
            clicks: (2,X,Y), 1 at each click and 0 elsewhere: foreground, background.

        Returns:
            (2,X,Y): mask logits and density.

        Raises:
            ValueError: when ``clicks`` has another shape.
            DataError: more clicks fall in one window than the network takes.
        """
        expected = (2, *self.image.shape[1:])
        if clicks.shape != expected:
            raise ValueError(f"clicks have the shape {tuple(clicks.shape)}, expected {expected}")
        clicks = clicks.to(self.image)
        answer = self._answer
        if answer is None or not self._in_place:
            self._network.rewind()
            answer = self._answer = self._inferer(prompted(self.image, clicks)[None], self._network)[0]
        else:
            self._inferer.check_crowding(clicks[None])
            batch = self._inferer.sw_batch_size
            self._renew(answer, self._network.decode_changed(clicks, self._clicks, batch))
        self._clicks = clicks.clone()
        return answer.clone()

    def _renew(self, answer: torch.Tensor, changed: list[Window]) -> None:
        """Blend the pixels that these windows cover: the same sums in the same order as for the whole image."""
        if not changed:
            return
        (x0, x1), (y0, y1) = (
            (min(window.place[axis].start for window in changed), max(window.place[axis].stop for window in changed))
            for axis in (0, 1)
        )
        total = torch.zeros(2, x1 - x0, y1 - y0).to(answer)
        weight = torch.zeros(x1 - x0, y1 - y0).to(answer)
        for window in self._network.windows:
            x, y = window.place
            left, right, top, bottom = max(x.start, x0), min(x.stop, x1), max(y.start, y0), min(y.stop, y1)
            if left >= right or top >= bottom:
                continue
            here = (slice(left - x0, right - x0), slice(top - y0, bottom - y0))
            inside = (slice(left - x.start, right - x.start), slice(top - y.start, bottom - y.start))
            total[:, here[0], here[1]] += window.output[:, inside[0], inside[1]] * self._weights[inside]
            weight[here] += self._weights[inside]
        answer[:, x0:x1, y0:y1] = total / weight


@dataclass
class Window:
    """Features, clicks and output of one window.

    Attributes:
        place: slices (x, y), in pixels of the image after the inferer rotated and padded it.
        embedding: (1,C,h,w).
        fine: finer features, each with a batch axis of 1.
        clicks: (2,H,W) that ``output`` was made with; None before the first time.
        output: (2,H,W); empty before the first time.
    """

    place: tuple[slice, slice]
    embedding: torch.Tensor
    fine: list[torch.Tensor]
    clicks: torch.Tensor | None = None
    output: torch.Tensor = field(default_factory=lambda: torch.empty(0))


class RememberingNetwork:
    """Network for repeated sliding windows over one image, always in the same order; remembers the features.

    Args:
        network: the network.
    """

    def __init__(self, network: PromptableSegmenter) -> None:
        self.stride = network.stride
        self.windows: list[Window] = []
        self._network = network.eval()
        self._next = 0

    def rewind(self) -> None:
        """Start again: the next window is the first."""
        self._next = 0

    def __call__(self, x: torch.Tensor, places: list[list[slice]]) -> torch.Tensor:
        """Segment the next windows (B,3,H,W), of which MONAI tells (batch, channel, x, y), to (B,2,H,W)."""
        first, self._next = self._next, self._next + len(x)
        if self._next > len(self.windows):
            there = len(self.windows) - first
            self._encode(em_of(x[there:]), places[there:])
        windows = self.windows[first : self._next]
        clicks = clicks_of(x)
        changed = [
            i for i, window in enumerate(windows) if window.clicks is None or not torch.equal(window.clicks, clicks[i])
        ]
        if changed:
            self._decode([windows[i] for i in changed], clicks[changed])
        return torch.stack([window.output for window in windows])

    def decode_changed(self, clicks: torch.Tensor, before: torch.Tensor, batch: int) -> list[Window]:
        """Decode the windows in which clicks came or went.

        Args:
            clicks: (2,X,Y) of the whole image, of which all windows are known.
            before: (2,X,Y), those of the last time.
            batch: windows at a time.

        Returns:
            Those windows.
        """
        moved = (clicks != before).any(dim=0).nonzero().tolist()
        changed = [window for window in self.windows if any(holds(window.place, pixel) for pixel in moved)]
        for i in range(0, len(changed), batch):
            windows = changed[i : i + batch]
            self._decode(windows, torch.stack([clicks[:, window.place[0], window.place[1]] for window in windows]))
        return changed

    def _encode(self, images: torch.Tensor, places: list[list[slice]]) -> None:
        """Remember windows (B,1,H,W) that are seen for the first time."""
        embedding, fine = self._network.encode(images)
        self.windows += [
            Window((place[2], place[3]), embedding[i : i + 1], [features[i : i + 1] for features in fine])
            for i, place in enumerate(places)
        ]

    def _decode(self, windows: list[Window], clicks: torch.Tensor) -> None:
        embedding = torch.cat([window.embedding for window in windows])
        fine = [torch.cat(features) for features in zip(*(window.fine for window in windows), strict=True)]
        # As many places for points as are needed, for a decoder that attends to padding wastes time on it.
        count = max(1, int(clicks.flatten(1).sum(dim=1).max()))
        outputs = self._network.decode(embedding, fine, *clicks_to_points(clicks, count))
        for window, given, output in zip(windows, clicks, outputs, strict=True):
            window.clicks, window.output = given, output


def holds(place: tuple[slice, slice], pixel: Sequence[int]) -> bool:
    """Whether a pixel (x, y) lies in a window."""
    return all(side.start <= at < side.stop for side, at in zip(place, pixel, strict=True))
