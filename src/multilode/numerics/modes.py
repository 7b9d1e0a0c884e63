"""Modes of PyTorch and NumPy that other code has set: what is computed here does not feel them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch

_CPU = torch.device("cpu")
# what NumPy does unless it is told otherwise
_NUMPY: dict[str, Any] = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}


@contextmanager
def own_modes(*, gradients: bool | None = None) -> Iterator[None]:
    """Compute as in a fresh process, also within `no_grad`, `inference_mode` or `autocast`.

    Derivatives would be zero within the first two, and numbers short of digits within the last. New
    tensors are made on the CPU whatever the default device, and NumPy stops at no underflow. Works
    as a decorator too.

    Args:
        gradients: whether operations are recorded; None for what holds outside.
    """
    recorded = torch.is_grad_enabled() if gradients is None else gradients
    with ExitStack() as modes:
        # leaving inference mode turns the recording on
        modes.enter_context(torch.inference_mode(mode=False))
        modes.enter_context(torch.set_grad_enabled(recorded))
        modes.enter_context(np.errstate(**_NUMPY))
        # PyTorch 2.6 cannot tell its default device once that was reset
        if torch.empty(0).device != _CPU:
            modes.enter_context(_CPU)
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                modes.enter_context(torch.autocast(device, enabled=False))
        yield


def ordinary(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor, or a copy of one made within `inference_mode`, which has no derivatives."""
    if not tensor.is_inference():
        return tensor
    with torch.inference_mode(mode=False):
        return tensor.clone()


@contextmanager
def single_precision() -> Iterator[None]:
    """Make parameters in single precision, whatever type other code has made the default."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
