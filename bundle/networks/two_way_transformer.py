"""The two-way transformer of SAM's mask decoder, for whole batches with padding tokens and with probe tokens."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from bundle.errors import SettingError


class Attention(nn.Module):
    """Multi-head attention whose inner width may be smaller than the embedding (SAM's ``downsample_rate``).

    MONAI's ``vista3d.Attention`` is the same without a mask, and the masks are what lets one batch hold images with
    different numbers of points.

    Args:
        embed_dim: channels of queries, keys and values.
        num_heads: heads; must divide ``embed_dim // downsample_rate``.
        downsample_rate: the inner width is ``embed_dim // downsample_rate``.
        by_position: start with equal projections of queries and keys. Then, before any training, a query attends to
            the keys of the same position code (ours: short trainings need it).
    """

    def __init__(self, embed_dim: int, num_heads: int, downsample_rate: int = 1, by_position: bool = False) -> None:
        super().__init__()
        inner = embed_dim // downsample_rate
        if inner % num_heads:
            raise SettingError(f"num_heads {num_heads} must divide the inner width {inner}")
        self.num_heads = num_heads
        self.q_proj = nn.Linear(embed_dim, inner)
        self.k_proj = nn.Linear(embed_dim, inner)
        self.v_proj = nn.Linear(embed_dim, inner)
        self.out_proj = nn.Linear(inner, embed_dim)
        if by_position:
            with torch.no_grad():
                self.k_proj.weight.copy_(self.q_proj.weight)
                self.k_proj.bias.copy_(self.q_proj.bias)

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        b, n, c = x.shape
        return x.reshape(b, n, self.num_heads, c // self.num_heads).transpose(1, 2)

    def forward(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, allowed: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Attend.

        Args:
            q: (B,Nq,C).
            k: (B,Nk,C).
            v: (B,Nk,C).
            allowed: bool, broadcastable to (B,1,Nq,Nk), True where a query may look at a key; each query needs one.

        Returns:
            (B,Nq,C).
        """
        out = F.scaled_dot_product_attention(
            self._heads(self.q_proj(q)), self._heads(self.k_proj(k)), self._heads(self.v_proj(v)), attn_mask=allowed
        )
        mixed: torch.Tensor = self.out_proj(out.transpose(1, 2).flatten(2))
        return mixed

    def to_itself(self, v: torch.Tensor) -> torch.Tensor:
        """What :meth:`forward` gives where each query may look at its own key alone, (B,N,C) to (B,N,C).

        The softmax of a single score is 1, so no scores are computed: N steps rather than N * N.
        """
        projected: torch.Tensor = self.out_proj(self.v_proj(v))
        return projected


class TwoWayBlock(nn.Module):
    """Tokens attend to tokens, tokens to the image, an MLP on tokens, and the image to tokens; norms after each sum."""

    def __init__(self, embed_dim: int, num_heads: int, mlp_dim: int, downsample_rate: int, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = Attention(embed_dim, num_heads)
        self.token_to_image = Attention(embed_dim, num_heads, downsample_rate, by_position=True)
        self.image_to_token = Attention(embed_dim, num_heads, downsample_rate, by_position=True)
        self.mlp = nn.Sequential(nn.Linear(embed_dim, mlp_dim), nn.ReLU(), nn.Linear(mlp_dim, embed_dim))
        self.norm1 = nn.LayerNorm(embed_dim)
        self.norm2 = nn.LayerNorm(embed_dim)
        self.norm3 = nn.LayerNorm(embed_dim)
        self.norm4 = nn.LayerNorm(embed_dim)

    def forward(
        self,
        tokens: torch.Tensor,
        image: torch.Tensor,
        token_pe: torch.Tensor,
        image_pe: torch.Tensor,
        present: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run one block; shapes as in :meth:`TwoWayTransformer.forward`, whose ``probes`` are the last tokens here."""
        seen, count = present[:, None, None, :], present.shape[1]
        q = (tokens if self.first else tokens + token_pe)[:, :count]
        out = self.self_attn(q, q, tokens[:, :count], seen)
        out = torch.cat((out, self.self_attn.to_itself(tokens[:, count:])), dim=1)
        tokens = self.norm1(out if self.first else tokens + out)
        tokens = self.norm2(tokens + self.token_to_image(tokens + token_pe, image + image_pe, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        k = (tokens + token_pe)[:, :count]
        image = self.norm4(image + self.image_to_token(image + image_pe, k, tokens[:, :count], seen))
        return tokens, image


class TwoWayTransformer(nn.Module):
    """Two-way transformer (Segment Anything, arXiv 2304.02643, section A), with padding and probes.

    Tokens and image attend to the tokens that are present. A probe attends to itself instead, and nothing else attends
    to it. (Prompt-DAS: the comments of the public code hide probes from each other too, its mask lets them see.) All
    tokens and probes attend to the whole image, so information from prompts can reach them indirectly, one block
    later.

    Args:
        depth: number of blocks.
        embed_dim: channels.
        num_heads: heads.
        mlp_dim: width of the MLP on tokens.
        downsample_rate: how much narrower attention between tokens and image is.
    """

    def __init__(self, depth: int, embed_dim: int, num_heads: int, mlp_dim: int, downsample_rate: int = 2) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            TwoWayBlock(embed_dim, num_heads, mlp_dim, downsample_rate, first=i == 0) for i in range(depth)
        )
        self.final_attn = Attention(embed_dim, num_heads, downsample_rate, by_position=True)
        self.final_norm = nn.LayerNorm(embed_dim)

    def forward(
        self,
        tokens: torch.Tensor,
        image: torch.Tensor,
        image_pe: torch.Tensor,
        present: torch.Tensor,
        probes: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run all blocks and the final token-to-image attention.

        Args:
            tokens: (B,T,C): the mask token, then the prompts. Also their own position code.
            image: (B,L,C) image embedding, cells row by row.
            image_pe: (1,L,C) position code of the cells.
            present: (B,T) bool, False for padding; True for one at least.
            probes: (B,M,C), their own position code too; M may be 0.

        Returns:
            Tokens and behind them probes (B,T+M,C), and image embedding (B,L,C).
        """
        tokens = torch.cat((tokens, probes), dim=1)
        token_pe = tokens
        for block in self.blocks:
            tokens, image = block(tokens, image, token_pe, image_pe, present)
        out = self.final_attn(tokens + token_pe, image + image_pe, image)
        return self.final_norm(tokens + out), image
