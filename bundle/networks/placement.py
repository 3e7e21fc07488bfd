"""Where a network lies, in which order its weights do, and whether its modules are compiled."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn
from torch.compiler import list_backends

from bundle.errors import SettingError

Network = TypeVar("Network", bound=nn.Module)

COMPILED = ("image_encoder", "mask_decoder")
"""The modules that do the work. What makes tokens of points is small, and stays as it is."""

VARIANTS = 32
"""Ways that one module may be compiled in, before further ones are run as they are: with and without gradient; with 0,
1 or more points; with probes; for batches, crops and windows of other sizes. PyTorch's own limit is 8."""


def place(
    network: Network, device: torch.device, channels_last: bool = False, compile_backend: str | None = None
) -> Network:
    """Move a network to a device, in place.

    Modules are compiled in place, not wrapped: names of weights, copies, exports and calls of
    :meth:`PromptableSegmenter.encode` and :meth:`PromptableSegmenter.decode` are what they were. A copy is not
    compiled. Weights that a loss does not reach, such as the contrastive head's in stage 0, get gradients of 0 rather
    than none from most backends: so weight decay reaches them.

    Args:
        network: a :class:`PromptableSegmenter`.
        device: where to.
        channels_last: keep the weights of convolutions in the order that tensor cores take them in; what convolutions
            give has that order too. The values do not change.
        compile_backend: of ``torch.compile``, such as ``inductor``; None to compile nothing.

    Returns:
        The network.

    Raises:
        SettingError: there is no such backend.
    """
    if compile_backend is not None and compile_backend not in (known := list_backends(exclude_tags=())):
        raise SettingError(f"compile_backend is {compile_backend!r}, expected one of {', '.join(known)}, or null")
    network.to(device)
    if channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if compile_backend is not None:
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, VARIANTS)
        for name in COMPILED:
            network.get_submodule(name).compile(backend=compile_backend)
    return network
