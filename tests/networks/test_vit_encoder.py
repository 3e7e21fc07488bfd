"""The ViT encoder against an independent reference that has DINO's parameter names and arithmetic."""

from __future__ import annotations

import argparse
import math
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bundle.errors import DataError
from bundle.networks.vit_encoder import ViTEncoder, load_dino_weights

DIM, DEPTH, HEADS, GRID = 48, 2, 3, 4


def small_encoder(**changes) -> ViTEncoder:
    settings = {"embed_dim": DIM, "depth": DEPTH, "num_heads": HEADS, "pretrain_grid": GRID, **changes}
    return ViTEncoder(**settings).eval()


def dino_state(grid: int = GRID, seed: int = 0) -> dict[str, Tensor]:
    """Random weights in DINO's names and shapes, large enough that every part of the network shows in the output."""
    shapes = {
        "cls_token": (1, 1, DIM),
        "pos_embed": (1, 1 + grid * grid, DIM),
        "patch_embed.proj.weight": (DIM, 3, 8, 8),
        "patch_embed.proj.bias": (DIM,),
        "norm.weight": (DIM,),
        "norm.bias": (DIM,),
    }
    for n in range(DEPTH):
        for name, rows, columns in (
            ("attn.qkv", 3 * DIM, DIM),
            ("attn.proj", DIM, DIM),
            ("mlp.fc1", 4 * DIM, DIM),
            ("mlp.fc2", DIM, 4 * DIM),
        ):
            shapes |= {f"blocks.{n}.{name}.weight": (rows, columns), f"blocks.{n}.{name}.bias": (rows,)}
        for name in ("norm1", "norm2"):
            shapes |= {f"blocks.{n}.{name}.weight": (DIM,), f"blocks.{n}.{name}.bias": (DIM,)}
    generator = torch.Generator().manual_seed(seed)
    return {name: 0.2 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def cubic_matrix(size_in: int, size_out: int) -> Tensor:
    """Cubic convolution (a = -0.75, pixel centres, repeated border) along one axis, as a size_out x size_in matrix."""

    def kernel(t: float) -> float:
        a, t = -0.75, abs(t)
        if t <= 1:
            return (a + 2) * t**3 - (a + 3) * t**2 + 1
        return a * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0.0

    matrix = torch.zeros(size_out, size_in, dtype=torch.float64)
    for i in range(size_out):
        centre = (i + 0.5) * size_in / size_out - 0.5
        for j in range(math.floor(centre) - 1, math.floor(centre) + 3):
            matrix[i, min(max(j, 0), size_in - 1)] += kernel(centre - j)
    return matrix


def reference_norm(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]


def reference_linear(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def reference_attention(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    q, k, v = reference_linear(x, state, f"{name}.qkv").split(DIM, dim=-1)
    width = DIM // HEADS
    outputs = []
    for h in range(HEADS):
        part = slice(h * width, (h + 1) * width)
        weights = torch.softmax(q[..., part] @ k[..., part].transpose(1, 2) / math.sqrt(width), dim=-1)
        outputs.append(weights @ v[..., part])
    return reference_linear(torch.cat(outputs, dim=-1), state, f"{name}.proj")


def reference_vit(rgb: Tensor, state: dict[str, Tensor], grid: int = GRID) -> Tensor:
    """DINO's ViT without class token in float64, RGB (B,3,H,W) to (B,C,H/8,W/8), spelled out patch by patch."""
    state = {name: value.double() for name, value in state.items()}
    batch, _, height, width = rgb.shape
    rows, columns = height // 8, width // 8
    patches = rgb.double().reshape(batch, 3, rows, 8, columns, 8).permute(0, 2, 4, 1, 3, 5)
    kernel = state["patch_embed.proj.weight"].reshape(DIM, -1)
    x = patches.reshape(batch, rows * columns, -1) @ kernel.T + state["patch_embed.proj.bias"]
    positions = state["pos_embed"][0, 1:].reshape(grid, grid, DIM)
    positions = torch.einsum("ri,cj,ijd->rcd", cubic_matrix(grid, rows), cubic_matrix(grid, columns), positions)
    x = x + positions.reshape(1, rows * columns, DIM)
    for n in range(DEPTH):
        block = f"blocks.{n}"
        x = x + reference_attention(reference_norm(x, state, f"{block}.norm1"), state, f"{block}.attn")
        hidden = reference_linear(reference_norm(x, state, f"{block}.norm2"), state, f"{block}.mlp.fc1")
        hidden = 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))
        x = x + reference_linear(hidden, state, f"{block}.mlp.fc2")
    return reference_norm(x, state, "norm").reshape(batch, rows, columns, DIM).permute(0, 3, 1, 2)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "dino.pth"
    torch.save(dino_state(), path)
    return path


@pytest.mark.parametrize(("height", "width"), [(32, 32), (40, 24), (16, 72)])
def test_output_is_that_of_the_reference_on_gray_repeated_three_times(checkpoint, height, width):
    image = torch.randn(2, 1, height, width)
    embedding, skips = small_encoder(weights=str(checkpoint))(image)
    expected = reference_vit(image.expand(-1, 3, -1, -1), dino_state())
    assert embedding.shape == (2, DIM, height // 8, width // 8)
    torch.testing.assert_close(embedding.double(), expected, atol=2e-5, rtol=1e-4)
    assert skips == []


def test_layer_norm_keeps_faint_images_apart(checkpoint):
    """Where the variance is near DINO's eps of 1e-6, the usual eps of 1e-5 would give another answer."""
    state = dino_state()
    for name in ("patch_embed.proj.bias", "pos_embed"):
        state[name] = torch.zeros_like(state[name])
    torch.save(state, checkpoint)
    image = 2e-4 * torch.randn(1, 1, 32, 32)
    embedding, _ = small_encoder(weights=str(checkpoint))(image)
    expected = reference_vit(image.expand(-1, 3, -1, -1), state)
    torch.testing.assert_close(embedding.double(), expected, atol=5e-5, rtol=1e-4)


def test_positions_of_another_grid_are_resized_when_loading(checkpoint):
    torch.save(dino_state(grid=6), checkpoint)
    encoder = small_encoder(weights=str(checkpoint))
    resize = cubic_matrix(6, GRID)
    source = dino_state(grid=6)["pos_embed"][0, 1:].reshape(6, 6, DIM).double()
    expected = torch.einsum("ri,cj,ijd->drc", resize, resize, source)
    torch.testing.assert_close(encoder.pos_embed[0].double(), expected, atol=1e-6, rtol=1e-5)


def test_the_class_token_has_no_influence(checkpoint):
    image = torch.randn(1, 1, 32, 32)
    before, _ = small_encoder(weights=str(checkpoint))(image)
    state = dino_state()
    state["cls_token"] += 5.0
    state["pos_embed"][:, 0] += 5.0
    torch.save(state, checkpoint)
    after, _ = small_encoder(weights=str(checkpoint))(image)
    assert torch.equal(before, after)


def test_training_checkpoint_gives_the_teacher(checkpoint, tmp_path):
    teacher = {f"module.backbone.{name}": value for name, value in dino_state(seed=1).items()}
    student = {f"module.backbone.{name}": value for name, value in dino_state(seed=2).items()}
    teacher["module.head.mlp.0.weight"] = torch.zeros(2, DIM)
    content = {"teacher": teacher, "student": student, "epoch": 3, "args": argparse.Namespace(arch="vit_small")}
    torch.save(content, tmp_path / "training.pth")
    torch.save(dino_state(seed=1), checkpoint)
    wanted = small_encoder(weights=str(checkpoint)).state_dict()
    found = small_encoder(weights=str(tmp_path / "training.pth")).state_dict()
    assert wanted.keys() == found.keys()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)


def test_default_has_the_parameters_of_vit_small():
    with torch.device("meta"):
        encoder = ViTEncoder()
    count = sum(p.numel() for p in encoder.parameters())
    block = 2 * 768 + (384 * 1152 + 1152) + (384 * 384 + 384) + (384 * 1536 + 1536) + (1536 * 384 + 384)
    assert count == 12 * block + (64 * 384 + 384) + 784 * 384 + 768 == 21_620_352
    # DINO's own count: two more input channels, the class token and its position.
    assert round((count + 2 * 64 * 384 + 2 * 384) / 1e6, 1) == 21.7
    assert (encoder.embed_dim, encoder.stride, encoder.skip_channels) == (384, 8, ())


def test_another_patch_size_sets_the_stride():
    encoder = small_encoder(patch_size=4)
    assert encoder.stride == 4
    assert encoder(torch.zeros(1, 1, 20, 12))[0].shape == (1, DIM, 5, 3)


def test_images_of_a_batch_do_not_touch_each_other():
    encoder = small_encoder()
    images = torch.randn(3, 1, 32, 40)
    torch.testing.assert_close(encoder(images)[0][1:2], encoder(images[1:2])[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(30, 32), (32, 33)])
def test_sides_that_no_patch_divides_are_refused(height, width):
    with pytest.raises(ValueError, match=f"{height} x {width} pixels.*divisible by 8"):
        small_encoder()(torch.zeros(1, 1, height, width))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_heads": 5}, "embed_dim is 48.*num_heads, which is 5"),
        ({"depth": 0}, "depth is 0"),
        ({"mlp_ratio": 0.0}, "mlp_ratio is 0"),
        ({"drop_rate": 1.5}, "1.5|between 0 and 1"),
    ],
)
def test_settings_that_make_no_network_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        small_encoder(**change)


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"absent\.pth"):
        small_encoder(weights=str(tmp_path / "absent.pth"))


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\x80\x02garbage", bytes(range(256))])
def test_files_that_are_no_checkpoint(tmp_path, content):
    path = tmp_path / "broken.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.pth"):
        load_dino_weights(small_encoder(), path)


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"epoch": 3}, {"teacher": 1.0}, {0: torch.zeros(1)}])
def test_records_that_are_no_checkpoint(tmp_path, content):
    path = tmp_path / "other.pth"
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"other\.pth is no DINO checkpoint"):
        load_dino_weights(small_encoder(), path)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("norm.bias", None, r"norm\.bias is missing, expected shape \(48,\)"),
        ("cls_token", None, "cls_token is missing"),
        ("blocks.2.norm1.bias", torch.zeros(DIM), r"blocks\.2\.norm1\.bias is not a weight"),
        ("blocks.1.mlp.fc1.weight", torch.zeros(96, DIM), r"blocks\.1\.mlp\.fc1\.weight has shape \(96, 48\)"),
        ("patch_embed.proj.weight", torch.zeros(DIM, 1, 8, 8), r"\(48, 1, 8, 8\), expected \(48, 3, 8, 8\)"),
        ("pos_embed", torch.zeros(1, 16, DIM), r"pos_embed has shape \(1, 16, 48\), expected \(1, 17, 48\)"),
        ("norm.bias", torch.full((DIM,), torch.nan), r"cannot be used: norm\.bias holds nan"),
        ("pos_embed", torch.zeros(1, 17, 40), r"pos_embed has shape \(1, 17, 40\), expected \(1, 17, 48\)"),
    ],
)
def test_weights_that_do_not_fit_are_named_and_change_nothing(checkpoint, name, value, words):
    state = dino_state() | {name: value}
    torch.save({key: tensor for key, tensor in state.items() if tensor is not None}, checkpoint)
    encoder = small_encoder()
    before = {key: tensor.clone() for key, tensor in encoder.state_dict().items()}
    with pytest.raises(ValueError, match=words) as error:
        load_dino_weights(encoder, checkpoint)
    assert str(checkpoint) in str(error.value)
    assert all(torch.equal(before[key], tensor) for key, tensor in encoder.state_dict().items())


def test_a_gradient_reaches_every_parameter():
    encoder = small_encoder()
    embedding, _ = encoder(torch.randn(1, 1, 24, 40))
    # Weighted, as the plain sum of a LayerNorm's output does not depend on its input.
    (embedding * torch.randn_like(embedding)).sum().backward()
    without = [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.abs().any()]
    assert without == []


def test_dropout_acts_in_training_only():
    encoder, image = small_encoder(drop_rate=0.5), torch.randn(1, 1, 32, 32)
    assert torch.equal(encoder(image)[0], encoder(image)[0])
    encoder.train()
    assert not torch.equal(encoder(image)[0], encoder(image)[0])


class EmbeddingOnly(nn.Module):
    """What a network around the encoder gives to the tracer and the exporter: one tensor."""

    def __init__(self, encoder: ViTEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image: Tensor) -> Tensor:
        return self.encoder(image)[0]


def test_script_trace_and_eager_agree_on_sizes_not_seen_before():
    encoder = small_encoder()
    scripted = torch.jit.script(encoder)
    with warnings.catch_warnings():
        warnings.simplefilter("error", torch.jit.TracerWarning)
        traced = torch.jit.trace(EmbeddingOnly(encoder), torch.randn(2, 1, 32, 32))
    for shape in [(2, 1, 32, 32), (1, 1, 40, 16), (3, 1, 8, 64)]:
        image = torch.randn(shape)
        eager, _ = encoder(image)
        embedding, skips = scripted(image)
        assert skips == []
        torch.testing.assert_close(embedding, eager)
        torch.testing.assert_close(traced(image), eager)
    with pytest.raises(torch.jit.Error, match="30 x 32 pixels"):
        scripted(torch.zeros(1, 1, 30, 32))


@pytest.mark.slow
def test_onnx_with_free_batch_and_size(tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    model, path = EmbeddingOnly(small_encoder(depth=1)).eval(), tmp_path / "encoder.onnx"
    free = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    torch.onnx.export(
        model, (torch.randn(2, 1, 40, 24),), path, dynamo=True, dynamic_shapes={"image": free}, verbose=False
    )
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for shape in [(2, 1, 40, 24), (1, 1, 32, 64)]:
        image = torch.randn(shape)
        (embedding,) = session.run(None, {"image": image.numpy()})
        torch.testing.assert_close(torch.from_numpy(embedding), model(image), atol=1e-5, rtol=1e-4)
