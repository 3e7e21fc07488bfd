"""Times of actions that take turns."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

WARM_UP = 3


def medians(*actions: Callable[[], Any], repeats: int, device: str) -> list[float]:
    """Time actions in turn, so that whatever else the machine does meets them alike.

    Args:
        actions: what to time.
        repeats: measurements of each, after a few to warm up.
        device: what to wait for, since a GPU returns before it is done.

    Returns:
        The median of each action, in milliseconds.
    """
    times: list[list[float]] = [[] for _ in actions]
    for _ in range(WARM_UP + repeats):
        for action, measured in zip(actions, times, strict=True):
            measured.append(milliseconds(action, device))
    return [statistics.median(measured[WARM_UP:]) for measured in times]


def milliseconds(action: Callable[[], Any], device: str) -> float:
    """Return the time that one call takes, from an idle device to an idle device."""
    wait: Callable[[], None] = torch.cuda.synchronize if torch.device(device).type == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    action()
    wait()
    return (time.perf_counter() - start) * 1000
