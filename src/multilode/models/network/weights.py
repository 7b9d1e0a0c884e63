"""Weights before any training."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def drawn(
    *shape: int, divisor: float = 1.0, factor: float = 1.0, mean: float = 0.0
) -> nn.Parameter:
    """Normally distributed weights.

    On the device `meta` they have no values, and arithmetic there imports a compiler: 2.6 s of the
    processor before the first network is read.

    Args:
        shape: of the weights.
        divisor: one over their standard deviation, or
        factor: their standard deviation.
        mean: of the weights.
    """
    weights: Float[Tensor, ...] = torch.randn(*shape)
    return nn.Parameter(weights if weights.is_meta else mean + factor * weights / divisor)
