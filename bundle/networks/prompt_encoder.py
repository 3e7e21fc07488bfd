"""Clicks: from impulses in image channels to points, and from points to prompt tokens."""

import math

import torch
from torch import nn

from bundle.errors import SettingError

FOREGROUND, BACKGROUND, PADDING = 1, 0, -1


def clicks_to_points(
    clicks: torch.Tensor, max_points: int, ranks: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Read the clicks out of the prompt channels.

    The shapes do not depend on the data, so scripting, tracing and ONNX export see one graph. Callers without
    ``ranks`` make sure that there are no more clicks than ``max_points``: data sets and inferers check it at the
    border.

    Args:
        clicks: (B,2,H,W), 1 at each click and 0 elsewhere; channel 0 foreground, channel 1 background.
        max_points: N, the number of points to make room for.
        ranks: (B,2,H,W), above 0: of more than N clicks in an image those of the highest rank are taken.

    Returns:
        point_coords (B,N,2) float, pixel centres in pixels, x along H and y along W; and point_labels (B,N) long,
        1 foreground, 0 background, -1 padding.
    """
    width = clicks.shape[3]
    area = clicks.shape[2] * width
    value, index = (clicks if ranks is None else clicks * ranks).flatten(1).topk(max_points, dim=1)
    if ranks is not None:
        value = clicks.flatten(1).gather(1, index)
    channel = index // area
    position = index - channel * area
    x = position // width
    y = position - x * width
    coords = torch.stack((x, y), dim=-1).to(clicks.dtype) + 0.5
    labels = torch.where(value > 0.5, 1 - channel, torch.full_like(channel, -1))
    return coords, labels


def without_padding(coords: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Leave out the places for points that no image of a batch needs.

    They change no result, but are decoded. For training, where most crops have few points; the number is data, so what
    is traced or exported keeps all places.

    Args:
        coords: (B,N,2) of :func:`clicks_to_points`, which puts padding last.
        labels: (B,N), likewise.

    Returns:
        (B,n,2) and (B,n), n the number of points of the image that has the most.
    """
    most = int((labels >= 0).sum(dim=1).max())
    return coords[:, :most], labels[:, :most]


class PromptEncoder(nn.Module):
    """Points to tokens: random Fourier features of the position (paper), plus a learned embedding of the label (ours).

    Positions are taken in pixels over a fixed length rather than over the image's size, so a token says the same in
    windows of any size.

    Args:
        embed_dim: channels of a token, even.
        position_scale: pixels in one unit of position. The kernel that the features span has a width of about a
            sixth of it.
    """

    # TorchScript reads this type and takes no strings for types: hence no `from __future__ import annotations` here.
    frequencies: torch.Tensor

    def __init__(self, embed_dim: int, position_scale: float = 64.0) -> None:
        super().__init__()
        if embed_dim % 2:
            raise SettingError(f"embed_dim must be even, got {embed_dim}")
        self.embed_dim = embed_dim
        self.position_scale = position_scale
        self.register_buffer("frequencies", torch.randn(2, embed_dim // 2))
        self.label_embeddings = nn.Embedding(2, embed_dim)
        self.dense_embeddings = nn.Embedding(2, embed_dim)
        # Small beside the position code, whose entries are in [-1, 1].
        nn.init.normal_(self.label_embeddings.weight, std=0.02)
        nn.init.normal_(self.dense_embeddings.weight, std=0.02)

    def encode_positions(self, coords: torch.Tensor) -> torch.Tensor:
        """Fourier features.

        Args:
            coords: (...,2) positions in pixels.

        Returns:
            (..., embed_dim) in [-1, 1].
        """
        # sin and cos of random projections: their inner product depends on the distance of two positions alone.
        # No matrix product: autocast would round it to bfloat16, and a phase of 16 to the next eighth.
        x, y = (2 * math.pi * coords / self.position_scale).to(self.frequencies.dtype).split(1, dim=-1)
        phase = x * self.frequencies[0] + y * self.frequencies[1]
        return torch.cat((phase.sin(), phase.cos()), dim=-1)

    def grid_positions(self, height: int, width: int, stride: int) -> torch.Tensor:
        """Pixel positions (height*width, 2) of the centres of an embedding's cells, row by row."""
        x = torch.arange(height, device=self.frequencies.device, dtype=torch.float32)
        y = torch.arange(width, device=self.frequencies.device, dtype=torch.float32)
        cells = torch.stack(
            (x.unsqueeze(1).expand(height, width), y.unsqueeze(0).expand(height, width)), dim=-1
        ).reshape(-1, 2)
        return (cells + 0.5) * stride  # pixel centres of a click are at whole numbers plus 0.5

    def forward(self, coords: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Tokens (B,N,embed_dim) of points (B,N,2) with labels (B,N); what padding gets does not matter."""
        embedded: torch.Tensor = self.label_embeddings(labels.clamp(min=0))
        return self.encode_positions(coords) + embedded

    def dense(self, coords: torch.Tensor, labels: torch.Tensor, grid: torch.Tensor, stride: int) -> torch.Tensor:
        """Clicks drawn on the image embedding (ours; SAM calls its like dense prompts).

        Each click adds the embedding of its label to the cells around it, weighted by a Gaussian of one cell's width.
        A short training learns this local path long before attention finds positions.

        Args:
            coords: (B,N,2) in pixels.
            labels: (B,N), -1 is drawn nowhere.
            grid: (L,2) positions of the cells in pixels.
            stride: pixels of a cell.

        Returns:
            (B,L,embed_dim), 0 where no click is near.
        """
        squared = (grid[None, :, None, :] - coords[:, None, :, :]).square().sum(dim=-1)
        weight = torch.exp(-squared / (2.0 * stride * stride)) * (labels >= 0).unsqueeze(1)
        embedded: torch.Tensor = self.dense_embeddings(labels.clamp(min=0))
        return weight.to(self.dense_embeddings.weight.dtype) @ embedded
