"""Mask decoder: prompts and image embedding to mask logits, density map and probe embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from bundle.networks.two_way_transformer import TwoWayTransformer


def mlp(channels: Sequence[int]) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for a, b in pairwise(channels):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Upscale(nn.Module):
    """Transposed convolution of stride 2; finer features of the encoder, where it has them, are added and fused."""

    def __init__(self, in_channels: int, out_channels: int, skip_channels: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2)
        self.norm = nn.GroupNorm(1, out_channels)
        self.has_skip = skip_channels > 0
        self.skip = nn.Conv2d(skip_channels, out_channels, 1) if self.has_skip else nn.Identity()
        self.fuse = (
            nn.Sequential(nn.Conv2d(out_channels, out_channels, 3, padding=1), nn.GroupNorm(8, out_channels), nn.GELU())
            if self.has_skip
            else nn.Identity()
        )

    def forward(self, x: torch.Tensor, fine: torch.Tensor | None) -> torch.Tensor:
        """(B,C,h,w) and finer features (B,S,2h,2w) or None, to (B,out_channels,2h,2w)."""
        x = self.norm(self.up(x))
        if fine is not None:
            x = x + self.skip(fine)
        fused: torch.Tensor = self.fuse(F.gelu(x))
        return fused


class MaskDecoder(nn.Module):
    """Segmentation head, detection head and contrastive head behind one two-way transformer (Prompt-DAS, fig. 2).

    Args:
        embed_dim: channels of the image embedding.
        skip_channels: channels of the encoder's finer features, two or none, see
            :class:`bundle.networks.image_encoder.ImageEncoder`.
        upscaled_channels: channels after each of the two transposed convolutions; multiples of 8.
        depth: rounds of the transformer.
        num_heads: its heads.
        mlp_dim: width of its MLP.
        detection_channels: width of the detection head, a multiple of 8.
        contrastive_dim: channels of a probe's embedding.

    Raises:
        ValueError: when there are other numbers of ``skip_channels``.
    """

    def __init__(
        self,
        embed_dim: int,
        skip_channels: Sequence[int] = (),
        upscaled_channels: Sequence[int] = (96, 48),
        depth: int = 2,
        num_heads: int = 8,
        mlp_dim: int = 2048,
        detection_channels: int = 256,
        contrastive_dim: int = 128,
    ) -> None:
        super().__init__()
        skips = tuple(skip_channels) or (0, 0)
        if len(skips) != 2:
            raise ValueError(f"skip_channels is {skips}, expected those of two finer features, or ()")
        c4, c2 = upscaled_channels
        self.mask_token = nn.Parameter(torch.randn(1, 1, embed_dim) * 0.02)  # the deviation of ViT's tokens
        self.transformer = TwoWayTransformer(depth, embed_dim, num_heads, mlp_dim)
        self.upscale4 = Upscale(embed_dim, c4, skips[0])
        self.upscale2 = Upscale(c4, c2, skips[1])
        self.mask_head = mlp((embed_dim, embed_dim, embed_dim, c2))
        self.mask_bias = nn.Linear(embed_dim, 1)
        self.detection_head = nn.Sequential(
            nn.Conv2d(c2, detection_channels, 3, padding=1),
            nn.GroupNorm(8, detection_channels),
            nn.ReLU(),
            nn.Conv2d(detection_channels, detection_channels, 3, padding=1),
            nn.GroupNorm(8, detection_channels),
            nn.ReLU(),
            nn.Conv2d(detection_channels, 1, 1),
        )
        self.contrastive_head = mlp((embed_dim, embed_dim, embed_dim, contrastive_dim))

    def forward(
        self,
        image: torch.Tensor,
        image_pe: torch.Tensor,
        fine: list[torch.Tensor],
        prompts: torch.Tensor,
        present: torch.Tensor,
        probes: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Decode.

        Args:
            image: (B,C,h,w) embedding with dense prompts added.
            image_pe: (1,h*w,C) position code.
            fine: finer features, twice and four times as large as the embedding, or an empty list.
            prompts: (B,N,C) tokens; N may be 0.
            present: (B,N) bool, False for padding.
            probes: (B,M,C) probe tokens; M is 0 outside training.

        Returns:
            (B,2,4h,4w) mask logits and density; and the probes' embeddings (B,M,contrastive_dim).
        """
        b, c, h, w = image.shape
        tokens = torch.cat((self.mask_token.expand(b, -1, -1), prompts), dim=1)
        seen = torch.cat((torch.ones_like(tokens[:, :1, 0], dtype=torch.bool), present), dim=1)
        count = tokens.shape[1]
        tokens, cells = self.transformer(tokens, image.flatten(2).transpose(1, 2), image_pe, seen, probes)
        x = cells.transpose(1, 2).reshape(b, c, h, w)
        x = self.upscale4(x, fine[0] if len(fine) > 0 else None)
        x = self.upscale2(x, fine[1] if len(fine) > 0 else None)
        kernel = self.mask_head(tokens[:, 0])
        mask = torch.einsum("bc,bchw->bhw", kernel, x).unsqueeze(1) + self.mask_bias(tokens[:, 0])[:, :, None, None]
        return torch.cat((mask, self.detection_head(x)), dim=1), self.contrastive_head(tokens[:, count:])
