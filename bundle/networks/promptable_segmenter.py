"""The promptable multitask segmenter of Prompt-DAS and Prefer-DAS."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from bundle.channels import clicks_of, em_of
from bundle.networks.image_encoder import ImageEncoder
from bundle.networks.mask_decoder import MaskDecoder
from bundle.networks.prompt_encoder import PromptEncoder, clicks_to_points, without_padding


class PromptableSegmenter(nn.Module):
    """Image and clicks in, mask logits and density map out (Prompt-DAS, arXiv 2509.18973; Prefer-DAS, 2602.19423).

    Training and inference call :meth:`forward`. An interactive session calls :meth:`encode` once for an image, then
    :meth:`decode` for each change of the points.

    Args:
        image_encoder: such as :class:`ConvEncoder` and :class:`ViTEncoder`, see
            :class:`bundle.networks.image_encoder.ImageEncoder`.
        max_points: the most points of one image.
        position_scale: see :class:`PromptEncoder`.
        dense_prompts: draw the clicks on the image embedding as well (ours).
        point_features: add the image embedding at the point to a point's token (ours).
        decoder: keyword arguments of :class:`MaskDecoder`.
    """

    def __init__(
        self,
        image_encoder: ImageEncoder,
        max_points: int = 64,
        position_scale: float = 64.0,
        dense_prompts: bool = True,
        point_features: bool = True,
        decoder: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.stride: int = image_encoder.stride
        self.max_points = max_points
        self.dense_prompts = dense_prompts
        self.point_features = point_features
        embed_dim = image_encoder.embed_dim
        self.image_encoder = image_encoder
        self.prompt_encoder = PromptEncoder(embed_dim, position_scale)
        self.mask_decoder = MaskDecoder(embed_dim, image_encoder.skip_channels, **(decoder or {}))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Segment prompted images.

        Args:
            x: (B,3,H,W): the normalised EM, foreground clicks, background clicks; each click one pixel of value 1,
                at most ``max_points`` an image. H and W are multiples of the encoder's stride.

        Returns:
            (B,2,H,W): mask logits and density.
        """
        coords, labels = clicks_to_points(clicks_of(x), self.max_points)
        if self.training:
            coords, labels = without_padding(coords, labels)
        embedding, fine = self.encode(em_of(x))
        return self.decode(embedding, fine, coords, labels)

    @torch.jit.export
    def encode(self, image: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Image embedding (B,C,H/stride,W/stride) and finer features of images (B,1,H,W)."""
        return self.image_encoder(image)

    @torch.jit.export
    def decode(
        self,
        embedding: torch.Tensor,
        fine: list[torch.Tensor],
        point_coords: torch.Tensor,
        point_labels: torch.Tensor,
    ) -> torch.Tensor:
        """Masks for given points.

        Args:
            embedding: from :meth:`encode`.
            fine: from :meth:`encode`.
            point_coords: (B,N,2) pixels, (x, y) along (H, W); N may be 0.
            point_labels: (B,N) 1 foreground, 0 background, -1 padding.

        Returns:
            (B,2,H,W): mask logits and density.
        """
        return self.decode_with_probes(embedding, fine, point_coords, point_labels, point_coords[:, :0])[0]

    @torch.jit.export
    def decode_with_probes(
        self,
        embedding: torch.Tensor,
        fine: list[torch.Tensor],
        point_coords: torch.Tensor,
        point_labels: torch.Tensor,
        probe_coords: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As :meth:`decode`, with probes beside the prompts, which change nothing else (Prompt-DAS, PCL).

        A probe does not attend to prompts or to other probes. Prompts do reach it through the image embedding: they are
        drawn on it (``dense_prompts``), and it attends to them at the end of each block, before probes read it again.

        Args:
            embedding: from :meth:`encode`.
            fine: from :meth:`encode`.
            point_coords: (B,N,2).
            point_labels: (B,N).
            probe_coords: (B,M,2) pixels.

        Returns:
            (B,2,H,W), and the probes' embeddings (B,M,D), not normalised.
        """
        h, w = embedding.shape[2], embedding.shape[3]
        grid = self.prompt_encoder.grid_positions(h, w, self.stride)
        image_pe = self.prompt_encoder.encode_positions(grid).unsqueeze(0)
        prompts = self.prompt_encoder(point_coords, point_labels)
        # Probes use the foreground label embedding, so that their output is comparable with that of a foreground
        # prompt.
        probes = self.prompt_encoder(probe_coords, torch.ones_like(probe_coords[..., 0], dtype=torch.long))
        if self.point_features:
            prompts = prompts + self._features_at(embedding, point_coords)
            probes = probes + self._features_at(embedding, probe_coords)
        image = embedding
        if self.dense_prompts:
            drawn = self.prompt_encoder.dense(point_coords, point_labels, grid, self.stride)
            image = image + drawn.transpose(1, 2).reshape(embedding.shape)
        out, probed = self.mask_decoder(image, image_pe, fine, prompts, point_labels >= 0, probes)
        out = F.interpolate(out.float(), size=[h * self.stride, w * self.stride], mode="bilinear", align_corners=False)
        return out, probed

    def _features_at(self, embedding: torch.Tensor, coords: torch.Tensor) -> torch.Tensor:
        """The embedding (B,C,h,w) at positions (B,N,2) in pixels, bilinear: (B,N,C)."""
        h, w = embedding.shape[2], embedding.shape[3]
        # grid_sample takes (last axis, first axis), in [-1, 1] from border to border.
        u = 2.0 * coords[..., 1] / (w * self.stride) - 1.0
        v = 2.0 * coords[..., 0] / (h * self.stride) - 1.0
        where = torch.stack((u, v), dim=-1).unsqueeze(2).to(embedding.dtype)
        sampled = F.grid_sample(embedding, where, mode="bilinear", padding_mode="border", align_corners=False)
        return sampled.squeeze(3).transpose(1, 2)
