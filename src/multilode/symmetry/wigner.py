"""Wigner matrices D(R) of real spherical harmonics, for proper and improper rotations R."""

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from multilode.symmetry.harmonics import spherical_harmonics


def wigner_d(rotation: Float[Tensor, "*batch 3 3"], degree: int) -> Float[Tensor, "*batch m k"]:
    """Matrix D(R) of real spherical harmonics of one degree, Y(R r) = D(R) Y(r).

    For improper matrices it carries the parity (-1)^degree. It is the overlap of rotated with
    unrotated harmonics, on a grid of directions that integrates their products exactly.

    Source: theory#wigner.

    Args:
        rotation: orthogonal matrices that act on column vectors.
        degree: l.

    Raises:
        ValueError: if a matrix is not orthogonal.
    """
    _check_orthogonal(rotation)
    points, weighted = _grid(degree)
    points, weighted = points.to(rotation), weighted.to(rotation)
    turned = (points @ rotation.mT).reshape(-1, 3)
    harmonics = spherical_harmonics(turned, degree)[:, degree**2 :]
    return harmonics.unflatten(0, (*rotation.shape[:-2], len(points))).mT @ weighted


def _check_orthogonal(rotation: Float[Tensor, "*batch 3 3"]) -> None:
    unit = torch.eye(3, dtype=rotation.dtype, device=rotation.device)
    deviation = float((rotation @ rotation.mT - unit).detach().abs().amax())
    if not deviation <= 1e3 * torch.finfo(rotation.dtype).eps:
        raise ValueError(
            f"R R^T deviates from the unit matrix by {deviation:.1e}; give an orthogonal matrix in "
            "the precision of its type"
        )


@lru_cache(maxsize=32)
@torch.inference_mode(mode=False)
def _grid(degree: int) -> tuple[Float[Tensor, "point 3"], Float[Tensor, "point k"]]:
    """Directions, and harmonics on them times quadrature weights."""
    z, weights = np.polynomial.legendre.leggauss(degree + 1)
    n_angles = 2 * degree + 2
    angles = 2 * np.pi / n_angles * (np.arange(n_angles) + 0.25)
    z, angles = np.repeat(z, n_angles), np.tile(angles, degree + 1)
    rho = np.sqrt(1 - z**2)
    points = torch.from_numpy(np.stack([rho * np.cos(angles), rho * np.sin(angles), z], axis=1))
    weights = torch.from_numpy(np.repeat(weights, n_angles) * 2 * np.pi / n_angles)
    return points, weights[:, None] * spherical_harmonics(points, degree)[:, degree**2 :]
