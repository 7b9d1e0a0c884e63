"""Real spherical harmonics of unit norm, without Condon-Shortley phase, m = -l ... l."""

from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float
from sphericart.torch import SolidHarmonics, SphericalHarmonics
from torch import Tensor

_BLOCK = 2048  # points whose temporaries stay in cache


def spherical_harmonics(
    vectors: Float[Tensor, "point 3"], max_angular: int
) -> Float[Tensor, "point lm"]:
    """Y_lm of the directions, all l up to `max_angular` side by side; for l = 1: y, z, x.

    Differentiable to any order. The vectors need not be normalised but must not be zero.
    """
    return _Harmonics.apply(vectors, max_angular)


class _Harmonics(torch.autograd.Function):
    """Values by sphericart; the adjoint by the gradients of solid harmonics, R_lm = r^l Y_lm.

    Those are combinations of harmonics of degree l - 1 with constant coefficients, so that
    grad Y_lm = (sum_m' D_lm,m' Y_(l-1)m' - l Y_lm r^) / r: matrix products with what is known
    already, instead of an array [point, 3, lm] of derivatives that is written and read once.
    """

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, max_angular: int) -> Tensor:
        values = _calculator(max_angular)(vectors)
        ctx.save_for_backward(vectors, values)
        ctx.max_angular = max_angular
        return values

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        vectors, values = ctx.saved_tensors
        gradients, degrees = _gradient_matrices(ctx.max_angular)
        matrices = (gradients.to(grad), degrees.to(grad))
        if torch.is_grad_enabled():  # a second derivative is wanted: stay connected
            values = spherical_harmonics(vectors, ctx.max_angular)
            return _adjoint(vectors, values, grad, *matrices), None
        blocks = zip(vectors.split(_BLOCK), values.split(_BLOCK), grad.split(_BLOCK), strict=True)
        return torch.cat([_adjoint(*block, *matrices) for block in blocks]), None


def _adjoint(
    vectors: Float[Tensor, "point 3"],
    values: Float[Tensor, "point lm"],
    grad: Float[Tensor, "point lm"],
    gradients: Float[Tensor, "lm xyz_lower"],
    degrees: Float[Tensor, " lm"],
) -> Float[Tensor, "point 3"]:
    distances = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    n_lower = gradients.shape[1] // 3
    combined = (grad @ gradients).unflatten(1, (3, n_lower))
    along = (combined @ values[:, :n_lower, None])[:, :, 0]
    radial = ((grad * values) @ degrees)[:, None] * vectors / distances
    return (along - radial) / distances


@lru_cache(maxsize=32)
def _calculator(max_angular: int) -> SphericalHarmonics:
    return SphericalHarmonics(max_angular)


@lru_cache(maxsize=32)
@torch.inference_mode(mode=False)
def _gradient_matrices(
    max_angular: int,
) -> tuple[Float[Tensor, "lm xyz_lower"], Float[Tensor, " lm"]]:
    """D of the gradients of solid harmonics, solved for at random directions; and l of each lm."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(8 * (max_angular + 1), 3, generator=generator, dtype=torch.float64)
    points /= points.norm(dim=1, keepdim=True)
    values, gradients = SolidHarmonics(max_angular).compute_with_gradients(points)
    n_lower = max(max_angular, 1) ** 2
    matrix = torch.zeros((max_angular + 1) ** 2, 3, n_lower, dtype=torch.float64)
    degrees = torch.zeros((max_angular + 1) ** 2, dtype=torch.float64)
    for l in range(1, max_angular + 1):
        here, lower = slice(l * l, (l + 1) ** 2), slice((l - 1) ** 2, l * l)
        degrees[here] = l
        for axis in range(3):
            solved = torch.linalg.lstsq(values[:, lower], gradients[:, axis, here]).solution
            matrix[here, axis, lower] = solved.T
    return matrix.flatten(start_dim=1), degrees
