"""Solid harmonics of derivatives along the axes of a mesh."""

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.expansion.mesh.interpolation import monomials
from multilode.symmetry.harmonics import spherical_harmonics


def solid_harmonics_of_derivatives(
    to_cartesian: Float[Tensor, "mesh 3 3"], max_angular: int
) -> list[Tensor]:
    """r^l Y_lm of the Cartesian gradient as polynomials in derivatives along mesh axes.

    One array [mesh, m, monomial] for each l; only monomials of degree l occur. Differentiable in
    the matrices.

    Args:
        to_cartesian: gradient = matrix @ (derivatives along the mesh axes), one matrix per mesh.
        max_angular: largest l.
    """
    points = _points(max_angular).to(to_cartesian)
    cartesian = torch.einsum("gij,sj->gsi", to_cartesian, points)
    flat = cartesian.flatten(end_dim=1)
    lengths = torch.linalg.vector_norm(flat, dim=1, keepdim=True)
    angular = spherical_harmonics(flat, max_angular)
    result = []
    for l in range(max_angular + 1):
        solid = (angular[:, l * l : (l + 1) ** 2] * lengths**l).view(*cartesian.shape[:2], -1)
        result.append((_inverse(max_angular, l).to(to_cartesian) @ solid).transpose(1, 2))
    return result


@cache
@torch.inference_mode(mode=False)
def _points(max_angular: int) -> Float[Tensor, "point 3"]:
    """Directions enough to tell all polynomials of a degree apart."""
    generator = torch.Generator().manual_seed(0)
    count = 2 * (max_angular + 1) * (max_angular + 2)
    points = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    return points / torch.linalg.vector_norm(points, dim=1, keepdim=True)


@cache
@torch.inference_mode(mode=False)
def _inverse(max_angular: int, l: int) -> Float[Tensor, "monomial point"]:
    """Coefficients of a homogeneous polynomial of degree l from its values at `_points`."""
    exponents = torch.tensor([m for m in monomials(l) if sum(m) == l], dtype=torch.float64)
    values = (_points(max_angular)[:, None, :] ** exponents).prod(dim=2)
    return torch.linalg.pinv(values)
