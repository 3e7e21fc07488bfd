"""What the segmenter asks of an image encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch


class ImageEncoder(Protocol):
    """A ``torch.nn.Module`` that maps images to an embedding and, where it has them, finer features.

    The mask decoder enlarges the embedding twice, by 2 each time. ``skip_channels`` is the rule by which it takes finer
    features:

    - empty: there are none, as of a plain transformer, and ``forward`` returns an empty list;
    - two numbers: ``forward`` returns two features with so many channels. The first is added after the first
      enlargement, so it has ``stride`` / 2; the second after the second, so it has ``stride`` / 4. For a stride of 8
      they have strides 4 and 2.

    Attributes:
        embed_dim: C, channels of the embedding, even and divisible by the decoder's ``num_heads``.
        stride: pixels of the image for a cell of the embedding, along each axis.
        skip_channels: () or (S1, S2), see above.
    """

    embed_dim: int
    stride: int
    skip_channels: tuple[int, ...]

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Encode images.

        Args:
            image: (B,1,H,W) normalised EM, H and W multiples of ``stride``.

        Returns:
            The embedding (B,C,H/stride,W/stride); and [] or [(B,S1,2H/stride,2W/stride), (B,S2,4H/stride,4W/stride)].
        """

    def __call__(self, image: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """What ``torch.nn.Module`` makes of ``forward``; call this one."""


if TYPE_CHECKING:
    from bundle.networks.conv_encoder import ConvEncoder
    from bundle.networks.vit_encoder import ViTEncoder

    KEPT_BY: tuple[type[ImageEncoder], ...] = (ConvEncoder, ViTEncoder)
