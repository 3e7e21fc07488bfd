"""Compact convolutional image encoder, for CPUs and for training without pretrained weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks.dynunet_block import UnetResBlock
from torch import nn

from bundle.errors import SettingError

GROUP_NORM = ("group", {"num_groups": 8})


class ConvEncoder(nn.Module):
    """Residual convolutional encoder of stride 8 (ours; the paper has a ViT, see :class:`ViTEncoder`).

    Three stages of MONAI residual blocks, each of stride 2. Group normalisation, so that the images of a batch do not
    influence each other and an averaged teacher needs no statistics of its own. The outputs of the first two stages
    go to the decoder as finer features.

    Args:
        channels: channels at strides 2, 4 and 8; multiples of 8. The last is the embedding's.
        blocks: residual blocks in each stage, at least 1.

    Raises:
        SettingError: when ``channels`` and ``blocks`` do not have three entries of the kinds above.
    """

    stride = 8

    def __init__(self, channels: Sequence[int] = (32, 64, 128), blocks: Sequence[int] = (1, 2, 2)) -> None:
        super().__init__()
        if len(channels) != 3 or any(c < 8 or c % 8 for c in channels):
            raise SettingError(f"channels must be three multiples of 8, got {list(channels)}")
        if len(blocks) != 3 or any(n < 1 for n in blocks):
            raise SettingError(f"blocks must be three numbers of at least 1, got {list(blocks)}")
        self.embed_dim = channels[2]
        self.skip_channels: tuple[int, ...] = (channels[1], channels[0])
        self.stage2 = self._stage(1, channels[0], blocks[0])
        self.stage4 = self._stage(channels[0], channels[1], blocks[1])
        self.stage8 = self._stage(channels[1], channels[2], blocks[2])

    @staticmethod
    def _stage(in_channels: int, out_channels: int, blocks: int) -> nn.Sequential:
        strides = [2] + [1] * (blocks - 1)
        inputs = [in_channels] + [out_channels] * (blocks - 1)
        return nn.Sequential(
            *(UnetResBlock(2, c, out_channels, 3, s, GROUP_NORM) for c, s in zip(inputs, strides, strict=True))
        )

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Encode images.

        Args:
            image: (B,1,H,W) normalised EM, H and W multiples of 8.

        Returns:
            The embedding (B, embed_dim, H/8, W/8), and the finer features at strides 4 and 2.
        """
        fine2 = self.stage2(image)
        fine4 = self.stage4(fine2)
        return self.stage8(fine4), [fine4, fine2]
