"""Scalar products of invariants with weights, from the coefficients: the invariants are not made.

Invariants of two fields are products of coefficients, so that a sum of them with weights is a
quadratic form: for one number per center it takes a small matrix for each l, and its slope is the
product of this matrix with the coefficients, which is there already.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.correlations.invariants import unordered_adjoint


def spectrum_matrices(
    weights: Float[Tensor, "kind feature"],
    channels: tuple[int, int],
    max_angular: int,
    *,
    symmetric: bool,
) -> Float[Tensor, "kind l p q"]:
    """Matrices M_l, with w . x = sum_lm c_lm^T M_l c'_lm for the power spectrum x of c and c'.

    Source: theory#power-spectrum; theory#unordered-pairs.

    Args:
        weights: of the features of `power_spectrum`, in their order, for each kind of center.
        channels: numbers of channels p of the left and q of the right field.
        max_angular: largest l of both.
        symmetric: whether the two are one field; the matrices are then symmetric.
    """
    degrees = tuple(range(max_angular + 1))
    shape = (len(weights), len(degrees), *channels)
    if symmetric:  # the slope of a quadratic form is twice its matrix
        index, factors = unordered_adjoint(channels[0], degrees)
        return (weights[:, index.to(weights.device)] * (factors / 2).to(weights)).reshape(shape)
    norms = weights.new_tensor([1 / math.sqrt(2 * l + 1) for l in degrees])
    return weights.reshape(shape) * norms[:, None, None]


def quadratic_forms(
    coefficients: Float[Tensor, "center lm channel"],
    matrices: Float[Tensor, "kind l channel channel"],
    order: Int[Tensor, " center"],
    counts: Sequence[int],
) -> Float[Tensor, " center"]:
    """sum_lm c_lm^T M_l c_lm of each center, differentiable to any order in the coefficients.

    Args:
        coefficients: of all fields side by side.
        matrices: symmetric ones, for each kind of center.
        order: the centers of the first kind, then those of the second, and so on.
        counts: number of centers of each kind.
    """
    in_order = _QuadraticForms.apply(coefficients, matrices, order, tuple(counts))
    return torch.empty_like(in_order).index_copy(0, order, in_order)


class _QuadraticForms(torch.autograd.Function):
    """Values in the order of kinds; half of the slopes is kept instead of computed again."""

    @staticmethod
    def forward(
        ctx: Any, coefficients: Tensor, matrices: Tensor, order: Tensor, counts: tuple[int, ...]
    ) -> Tensor:
        values, halves = [], []
        for own, matrix in _by_kind(coefficients, matrices, order, counts):
            half = torch.bmm(own, matrix)
            values.append((half * own).sum(dim=(0, 2)))
            halves.append(half)
        ctx.save_for_backward(coefficients, matrices, order)
        ctx.counts, ctx.halves = counts, halves if ctx.needs_input_grad[0] else None
        return torch.cat(values)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        coefficients, matrices, order = ctx.saved_tensors
        halves, parts = ctx.halves, grad.split(ctx.counts)
        if torch.is_grad_enabled():  # a second derivative is wanted: stay connected
            pieces = _by_kind(coefficients, matrices, order, ctx.counts)
            halves = [torch.bmm(own, matrix) for own, matrix in pieces]
            slopes = [
                h.transpose(0, 1) * (2 * g)[:, None, None]
                for h, g in zip(halves, parts, strict=True)
            ]
            return torch.cat(slopes)[torch.argsort(order)], None, None, None
        slopes = torch.empty_like(coefficients)
        for out, half, part in zip(slopes.split(ctx.counts), halves, parts, strict=True):
            torch.mul(half.transpose(0, 1), (2 * part)[:, None, None], out=out)
        return torch.empty_like(slopes).index_copy_(0, order, slopes), None, None, None


def _by_kind(
    coefficients: Tensor, matrices: Tensor, order: Tensor, counts: tuple[int, ...]
) -> list[tuple[Float[Tensor, "lm center channel"], Float[Tensor, "lm channel channel"]]]:
    """Coefficients and matrices of each kind, the matrices once for each m."""
    components = 2 * torch.arange(matrices.shape[1], device=matrices.device) + 1
    degrees = torch.repeat_interleave(components)
    parts = coefficients.index_select(0, order).split(counts)
    return [
        (part.transpose(0, 1), matrix.to(part)[degrees])
        for part, matrix in zip(parts, matrices, strict=True)
    ]
