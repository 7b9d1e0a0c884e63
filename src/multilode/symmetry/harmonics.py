"""Real spherical harmonics of unit norm, without Condon-Shortley phase, m = -l ... l."""

from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float
from sphericart.torch import SolidHarmonics, SphericalHarmonics
from torch import Tensor

_BLOCK = 1024  # points whose gradients stay in cache


def spherical_harmonics(
    vectors: Float[Tensor, "point 3"], max_angular: int
) -> Float[Tensor, "point lm"]:
    """Y_lm of the directions, all l up to `max_angular` side by side; for l = 1: y, z, x.

    Differentiable to any order. The vectors need not be normalised but must not be zero.

    Source: theory#harmonics; Bigi2023.
    """
    return _Harmonics.apply(vectors, max_angular)


class _Harmonics(torch.autograd.Function):
    """Values and gradients by sphericart, which are contracted before they leave the cache.

    A second derivative needs an adjoint that is itself differentiable: it has the gradients of the
    solid harmonics R_lm = r^l Y_lm. Those of degree l are combinations of the harmonics of degree
    l - 1 with constant coefficients, grad R_lm = r^(l-1) sum_m' D_lm,m' Y_(l-1)m', and the part
    of it along r is what r^l adds to Y_lm.
    """

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, max_angular: int) -> Tensor:
        values = _calculator(max_angular)(vectors.contiguous())  # sphericart before 2 asks for it
        ctx.save_for_backward(vectors)
        ctx.max_angular = max_angular
        return values

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        vectors = ctx.saved_tensors[0]
        if torch.is_grad_enabled():  # a second derivative is wanted: stay connected
            matrices = [m.to(grad) for m in _gradient_matrices(ctx.max_angular)]
            values = spherical_harmonics(vectors, ctx.max_angular)
            return _adjoint(vectors, values, grad, matrices), None
        calculator = _calculator(ctx.max_angular)
        result = torch.empty_like(vectors)
        size = _BLOCK if vectors.device.type == "cpu" else max(1, len(vectors))
        blocks = zip(vectors.split(size), grad.split(size), result.split(size), strict=True)
        for points, above, gradient in blocks:
            slopes = calculator.compute_with_gradients(points.contiguous())[1]  # [point, axis, lm]
            torch.bmm(slopes, above[:, :, None], out=gradient[:, :, None])
        return result, None


def _adjoint(
    vectors: Float[Tensor, "point 3"],
    values: Float[Tensor, "point lm"],
    grad: Float[Tensor, "point lm"],
    matrices: list[Float[Tensor, "_ _"]],
) -> Float[Tensor, "point 3"]:
    components = values.T.contiguous()  # sums over components run over whole rows of points
    solid = vectors.new_zeros((3, len(vectors)))  # sum of grad r^l Y_lm at r = 1
    for l, matrix in enumerate(matrices, start=1):
        lower, here = slice((l - 1) ** 2, l * l), slice(l * l, (l + 1) ** 2)
        combined = (matrix @ grad[:, here].T).unflatten(0, (3, 2 * l - 1))
        solid = solid + (combined * components[lower]).sum(dim=1)
    distances = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    unit, solid = vectors / distances, solid.T
    return (solid - unit * (unit * solid).sum(dim=1, keepdim=True)) / distances


@lru_cache(maxsize=32)
def _calculator(max_angular: int) -> SphericalHarmonics:
    return SphericalHarmonics(max_angular)


@lru_cache(maxsize=32)
@torch.inference_mode(mode=False)
def _gradient_matrices(max_angular: int) -> tuple[Float[Tensor, "_ _"], ...]:
    """D of l = 1, 2, ..., each [axis lower_m, m], solved for at random directions.

    Squares of their elements are integers times (2 l + 1) / (4 (2 l - 1)). What a solver leaves of
    rounding, which is another one in every process, is taken away with that.
    """
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(8 * (max_angular + 1), 3, generator=generator, dtype=torch.float64)
    points /= points.norm(dim=1, keepdim=True)
    values, gradients = SolidHarmonics(max_angular).compute_with_gradients(points)
    matrices = []
    for l in range(1, max_angular + 1):
        here, lower = slice(l * l, (l + 1) ** 2), slice((l - 1) ** 2, l * l)
        axes = [
            torch.linalg.lstsq(values[:, lower], g[:, here]).solution for g in gradients.unbind(1)
        ]
        solved, unit = torch.cat(axes), (2 * l + 1) / (4 * (2 * l - 1))
        matrices.append(solved.sign() * ((solved.square() / unit).round() * unit).sqrt())
    return tuple(matrices)
