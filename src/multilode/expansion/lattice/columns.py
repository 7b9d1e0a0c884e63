"""Columns of the weights of plane waves, radial function times harmonic."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

Columns = tuple[Float[Tensor, "k _"], Float[Tensor, "k _"]]  # of even and of odd l


def weight_columns(radial: Float[Tensor, "k l n"], angular: Float[Tensor, "k lm"]) -> Columns:
    """(-1)^(l // 2) radial_ln angular_lm in columns (l, m, n), those of even and of odd l apart.

    The sign is that of i^l in the real and in the imaginary part. Differentiable to any order.

    Args:
        radial: radial function of each wave.
        angular: harmonics of each wave.
    """
    return _Columns.apply(radial, angular)


class _Columns(torch.autograd.Function):
    """Its adjoint writes each part of an array once; slices of it would be added to zeros."""

    @staticmethod
    def forward(ctx: Any, radial: Tensor, angular: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(radial, angular)
        n_waves, n_l, n_radial = radial.shape
        widths = [sum((2 * l + 1) * n_radial for l in range(first, n_l, 2)) for first in (0, 1)]
        columns = radial.new_empty((n_waves, widths[0])), radial.new_empty((n_waves, widths[1]))
        for l, part in enumerate(_parts(columns, n_l, n_radial)):
            signed = radial[:, l, None] if l % 4 < 2 else -radial[:, l, None]
            torch.mul(angular[:, l * l : (l + 1) ** 2, None], signed, out=part)
        return columns

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        radial, angular = ctx.saved_tensors
        to_radial, to_angular = [], []
        for l, grad in enumerate(_parts(grads, radial.shape[1], radial.shape[2])):
            sign = 1 if l % 4 < 2 else -1
            here = angular[:, l * l : (l + 1) ** 2, None]
            to_radial.append(sign * (grad * here).sum(dim=1))
            to_angular.append(sign * (grad * radial[:, l, None]).sum(dim=2))
        return torch.stack(to_radial, dim=1), torch.cat(to_angular, dim=1)


def _parts(columns: tuple[Tensor, ...], n_l: int, n_radial: int) -> list[Float[Tensor, "k m n"]]:
    """The columns of each l."""
    parts, start = [], [0, 0]
    for l in range(n_l):
        first, width = start[l % 2], (2 * l + 1) * n_radial
        parts.append(columns[l % 2][:, first : first + width].unflatten(1, (2 * l + 1, n_radial)))
        start[l % 2] = first + width
    return parts
