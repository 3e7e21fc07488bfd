"""One training step of a trainer on a network small enough for a test, and what it changed."""

import torch
from torch import nn

from bundle import keys as K
from bundle.engines.parts_trainer import PartsTrainer

BATCH, HEIGHT, WIDTH = 4, 16, 24


def source_batch() -> dict[str, torch.Tensor]:
    """Images with a foreground and a background click each, a mask and a density map."""
    g = torch.Generator().manual_seed(0)
    label = torch.zeros(BATCH, 1, HEIGHT, WIDTH)
    label[:, :, 3:9, 5:14] = 1
    return {
        K.IMAGE: prompted(torch.randn(BATCH, 1, HEIGHT, WIDTH, generator=g)),
        K.LABEL: label,
        K.DENSITY: torch.rand(BATCH, 1, HEIGHT, WIDTH, generator=g),
    }


def prompted(image: torch.Tensor) -> torch.Tensor:
    """Foreground clicks at (5, 8) and (12, 20), a background click at (14, 3)."""
    clicks = torch.zeros(len(image), 2, HEIGHT, WIDTH)
    clicks[:, 0, 5, 8] = clicks[:, 0, 12, 20] = clicks[:, 1, 14, 3] = 1
    return torch.cat((image, clicks), dim=1)


def weights(network: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of the state."""
    return {name: value.clone() for name, value in network.state_dict().items()}


def trainable(network: nn.Module) -> set[str]:
    """Parameters that a step should change: all but biases of keys, which softmax does not feel."""
    return {name for name, _ in network.named_parameters() if not name.endswith("k_proj.bias")}


def unchanged(before: dict[str, torch.Tensor], network: nn.Module) -> set[str]:
    """Entries of the state that are what they were."""
    return {name for name, value in network.state_dict().items() if torch.equal(value, before[name])}


def losses(trainer: PartsTrainer) -> dict[str, float]:
    """The named losses of the last step."""
    return trainer.state.output[0]["loss"]
