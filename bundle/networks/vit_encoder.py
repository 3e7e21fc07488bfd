"""The ViT-S/8 image encoder of Prefer-DAS and the reader of its DINO weights."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from monai.networks.blocks import MLPBlock
from torch import Tensor, nn

from bundle.errors import DataError, SettingError
from bundle.state_files import LARGEST_WEIGHT, first_spoilt, read_state


class ViTEncoder(nn.Module):
    """Plain vision transformer that turns a gray image into one embedding per 8x8 patch.

    This is the ``f_E`` of Prefer-DAS (arXiv 2602.19423): DINO's ViT-S/8 (Caron et al., ICCV 2021) without its class
    token; pre-norm blocks, a final LayerNorm, and position embeddings that are learned on one grid and resized
    bicubically to the grid of the image at hand, so that a crop of any size divisible by the patch size will do. The
    defaults make 21.6 million parameters; DINO's 21.7 count the RGB patch kernel and the class token too.

    Args:
        embed_dim: channels of a token, divisible by ``num_heads``.
        depth: number of transformer blocks.
        num_heads: attention heads of a block.
        mlp_ratio: hidden width of a block's MLP, as a multiple of ``embed_dim``.
        patch_size: side of a patch in pixels; also the stride of the embedding.
        pretrain_grid: side, in patches, of the grid that the position embeddings are learned on (28 for DINO's
            224-pixel crops).
        drop_rate: dropout in [0, 1] on the tokens, in the MLP, and at the end of attention and MLP, as DINO places it.
        weights: path of a DINO checkpoint to start from, see :func:`load_dino_weights`; None starts at random.

    Attributes:
        embed_dim: channels of the image embedding.
        stride: pixels of the image per pixel of the embedding, along each axis.
        skip_channels: channels of the finer features that ``forward`` returns beside the embedding; a plain
            transformer has none.

    Raises:
        SettingError: if ``embed_dim`` is not divisible by ``num_heads``, or a size is below 1.
        DataError: if ``weights`` names no file, or one that does not fit.
    """

    def __init__(
        self,
        embed_dim: int = 384,
        depth: int = 12,
        num_heads: int = 6,
        mlp_ratio: float = 4.0,
        patch_size: int = 8,
        pretrain_grid: int = 28,
        drop_rate: float = 0.0,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        mlp_dim = int(embed_dim * mlp_ratio)
        _check_sizes(
            {
                "embed_dim": embed_dim,
                "depth": depth,
                "num_heads": num_heads,
                "embed_dim * mlp_ratio": mlp_dim,
                "patch_size": patch_size,
                "pretrain_grid": pretrain_grid,
            }
        )
        if embed_dim % num_heads != 0:
            raise SettingError(f"embed_dim is {embed_dim}, but must be divisible by num_heads, which is {num_heads}.")
        self.embed_dim = embed_dim
        self.stride = patch_size
        self.skip_channels: tuple[int, ...] = ()
        self.patch_embed = nn.Conv2d(1, embed_dim, kernel_size=patch_size, stride=patch_size)
        self.pos_embed = nn.Parameter(torch.empty(1, embed_dim, pretrain_grid, pretrain_grid))
        self.pos_drop = nn.Dropout(drop_rate)
        self.blocks = nn.ModuleList(_Block(embed_dim, num_heads, mlp_dim, drop_rate) for _ in range(depth))
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)
        self._initialise()
        if weights is not None:
            load_dino_weights(self, weights)

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Encode a batch of gray images.

        Args:
            image: (B, 1, H, W) float, z-scored intensities; H and W divisible by ``stride``.

        Returns:
            The image embedding (B, embed_dim, H / stride, W / stride), and an empty list: this encoder has no finer
            features.

        Raises:
            ValueError: if H or W is not divisible by ``stride``.
        """
        height, width = image.shape[2], image.shape[3]
        # A tracer cannot record a comparison of sizes, it would only warn that it froze one.
        if not torch.jit.is_tracing() and (height % self.stride != 0 or width % self.stride != 0):
            raise ValueError(
                f"The image is {height} x {width} pixels, but both sides must be divisible by {self.stride}: "
                "pad or crop it, e.g. with MONAI's DivisiblePad."
            )
        features = self.patch_embed(image)
        tokens = self.pos_drop(features + self._positions(features)).flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens)
        skips: list[Tensor] = []
        return self.norm(tokens).transpose(1, 2).reshape(features.shape), skips

    def _positions(self, features: Tensor) -> Tensor:
        """Resize the position embeddings to the grid of ``features``.

        There is no short cut for the pretraining grid: on it this is the identity to the last bit, and a branch on the
        size would be frozen by the tracer and by the ONNX exporter.
        """
        return F.interpolate(
            self.pos_embed, size=(features.shape[2], features.shape[3]), mode="bicubic", align_corners=False
        )

    def _initialise(self) -> None:
        """Draw the starting weights as DINO does: truncated normal of deviation 0.02, biases zero."""
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)


class _Block(nn.Module):
    """Pre-norm transformer block with DINO's arithmetic: LayerNorm eps 1e-6, exact GELU, biased qkv.

    MONAI's ``MLPBlock`` serves as it is. Its ``TransformerBlock`` does not: it holds a LayerNorm for cross-attention
    that no gradient reaches (which stops distributed training), fixes the LayerNorm eps at 1e-5, and its attention
    needs einops and, on the scaled_dot_product_attention path, drops attention weights in evaluation mode too.
    """

    def __init__(self, embed_dim: int, num_heads: int, mlp_dim: int, drop_rate: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dim, eps=1e-6)
        self.attn = _SelfAttention(embed_dim, num_heads, drop_rate)
        self.norm2 = nn.LayerNorm(embed_dim, eps=1e-6)
        self.mlp = MLPBlock(embed_dim, mlp_dim, drop_rate)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        mapped: Tensor = self.mlp(self.norm2(tokens))
        return tokens + mapped


class _SelfAttention(nn.Module):
    """Multi-head self-attention on (B, N, C) tokens; rows of the joint projection are ordered q, k, v, then head."""

    def __init__(self, embed_dim: int, num_heads: int, drop_rate: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim)
        self.proj = nn.Linear(embed_dim, embed_dim)
        self.drop = nn.Dropout(drop_rate)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, count = tokens.shape[0], tokens.shape[1]
        qkv = self.qkv(tokens).reshape(batch, count, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
        projected: Tensor = self.drop(self.proj(mixed.transpose(1, 2).flatten(2)))
        return projected


def load_dino_weights(encoder: ViTEncoder, path: str | Path) -> None:
    """Load a DINO checkpoint into the encoder, in place.

    Reads the published backbone (``dino_deitsmall8_pretrain.pth``: names to tensors) and the training checkpoint (its
    ``teacher``, with ``module.`` and ``backbone.`` prefixes and a projection head, which is left out). The class token
    and its position are dropped. Position embeddings of another grid are resized bicubically to the encoder's.

    The RGB patch kernel is summed over its input channels, which is what a gray image repeated three times would
    get. DINO also subtracts a mean and divides by a deviation per channel; on gray input that is one affine map of the
    intensity, and as images are z-scored here the plain sum needs no further correction (the three deviations, 0.229,
    0.224 and 0.225, are nearly equal).

    Args:
        encoder: the encoder to fill; its dimensions and depth must be those of the checkpoint.
        path: the checkpoint file.

    Raises:
        DataError: if there is no file at ``path``, it is not a checkpoint, a key is missing, unexpected or of another
            shape, or a weight is not finite; the encoder is then left as it was.
    """
    path = Path(path)
    state = _read_dino_state(path)
    _check_dino_state(state, _dino_shapes(encoder), path)
    state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"].sum(dim=1, keepdim=True)
    state["pos_embed"] = _position_grid(state["pos_embed"], encoder.pos_embed.shape[-1])
    encoder.load_state_dict({name: state[_dino_name(name)] for name in encoder.state_dict()})


def _check_sizes(sizes: dict[str, int]) -> None:
    """Refuse sizes below 1; torch and MONAI would take some of them for a request of a default or of nothing."""
    for name, value in sizes.items():
        if value < 1:
            raise SettingError(f"{name} is {value}, but must be at least 1.")


def _read_dino_state(path: Path) -> dict[str, Tensor]:
    """Read the backbone's tensors under DINO's names, without prefixes and without the projection head."""
    if not path.is_file():
        raise DataError(
            f"No DINO weights at {path}: expected the file dino_deitsmall8_pretrain.pth of facebookresearch/dino. "
            "Download it there, or set weights to null to start at random."
        )
    try:
        # Training checkpoints also hold the command line of their run, a plain record of values.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = read_state(path, also=["argparse.Namespace"])
    except DataError as error:
        raise DataError(f"Cannot read {path}: expected a DINO checkpoint of tensors. Download it again.") from error
    if isinstance(content, dict):
        content = content.get("teacher", content)
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise DataError(f"{path} is no DINO checkpoint: expected names to tensors, or such a record under 'teacher'.")
    named = {name.removeprefix("module.").removeprefix("backbone."): value for name, value in content.items()}
    return {name: value for name, value in named.items() if not name.startswith("head.")}


def _check_dino_state(state: dict[str, Tensor], shapes: dict[str, tuple[int, ...]], path: Path) -> None:
    """Compare names and shapes with what the encoder needs, and report every difference at once."""
    faults = [f"{name} is missing, expected shape {shapes[name]}" for name in sorted(shapes.keys() - state.keys())]
    faults += [f"{name} is not a weight of this encoder" for name in sorted(state.keys() - shapes.keys())]
    for name in sorted(shapes.keys() & state.keys()):
        found, wanted = tuple(state[name].shape), shapes[name]
        if name == "pos_embed" and _has_square_grid(found):
            wanted = (wanted[0], found[1], wanted[2])
        if found != wanted:
            faults.append(f"{name} has shape {found}, expected {wanted}")
    if faults:
        raise DataError(
            f"The weights in {path} do not fit the encoder: {'; '.join(faults)}. "
            "Use a DINO checkpoint of the same embed_dim, depth, mlp_ratio and patch_size."
        )
    spoilt = first_spoilt(state, LARGEST_WEIGHT)
    if spoilt:
        raise DataError(f"The weights in {path} cannot be used: {spoilt}. Download them again.")


def _dino_shapes(encoder: ViTEncoder) -> dict[str, tuple[int, ...]]:
    """List the tensors, by DINO's names and in DINO's shapes, of which the encoder is made."""
    dim, patch, grid = encoder.embed_dim, encoder.stride, encoder.pos_embed.shape[-1]
    shapes = {_dino_name(name): tuple(value.shape) for name, value in encoder.state_dict().items()}
    return {
        **shapes,
        "cls_token": (1, 1, dim),
        "pos_embed": (1, 1 + grid * grid, dim),
        "patch_embed.proj.weight": (dim, 3, patch, patch),
    }


def _dino_name(name: str) -> str:
    """Translate a parameter's name in this encoder to DINO's name of it."""
    renamed = name.replace("mlp.linear1.", "mlp.fc1.").replace("mlp.linear2.", "mlp.fc2.")
    return renamed.replace("patch_embed.", "patch_embed.proj.")


def _has_square_grid(shape: tuple[int, ...]) -> bool:
    """Tell whether position embeddings of this shape are those of a class token and a square grid of patches."""
    return len(shape) == 3 and shape[1] >= 2 and math.isqrt(shape[1] - 1) ** 2 == shape[1] - 1


def _position_grid(embedding: Tensor, side: int) -> Tensor:
    """Turn DINO's (1, 1 + g * g, C) position embeddings into a (1, C, side, side) grid, without the class token's."""
    grid = math.isqrt(embedding.shape[1] - 1)
    positions = embedding[:, 1:].reshape(1, grid, grid, -1).permute(0, 3, 1, 2)
    return F.interpolate(positions, size=(side, side), mode="bicubic", align_corners=False)
