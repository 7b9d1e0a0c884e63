"""The periodic box that stands for a structure along axes without periodicity."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from multilode.radial import AbstractRadialBasis, orthonormalize
from multilode.structures.batch import triple_product

_STEP = 1.0  # Å; extents are rounded up so that boxes, and what is cached for them, last a while
_CORNERS = 1.1  # where the edges of two windows cross, their spectra add up along the diagonal
_MARGIN = 4.0  # exponent beyond log(1 / tolerance): the field of a charged layer grows to the edge


@final
@dataclass(frozen=True)
class Box:
    """A box in which periodic images along the free axes do not see each other.

    The kernel of `lattice_kernel` is that of the infinite vacuum up to the separation `exact` along
    each free axis, and falls to zero within `taper` beyond it. The free length of the box,
    2 exact + taper, keeps images of the window off the separations that occur.

    Args:
        cell: rows are lattice vectors in Å; those of periodic axes are the structure's, the others
            are normal to these and to each other.
        pbc: periodicity along each lattice vector.
        exact: separations in Å up to which the kernel is exact; 0 along periodic axes.
        taper: length in Å of the edge of the window; 0 without free axes.
        sharpness: exponent b of the edge, whose spectrum is below exp(-b) beyond |k| = 2 b / taper.
    """

    cell: Float[Tensor, "3 3"]
    pbc: tuple[bool, bool, bool]
    exact: tuple[float, float, float]
    taper: float
    sharpness: float

    @property
    def free(self) -> tuple[int, ...]:
        """Axes that are not periodic."""
        return tuple(axis for axis in range(3) if not self.pbc[axis])

    @property
    def volume(self) -> Float[Tensor, ""]:
        """Volume in Å^3, differentiable."""
        return triple_product(self.cell).abs()


def enclosing_box(
    positions: Float[Tensor, "atom 3"],
    cell: Float[Tensor, "3 3"],
    pbc: tuple[bool, bool, bool],
    *,
    reach: float,
    band: float,
    tolerance: float,
) -> Box:
    """The smallest box for atoms and basis functions. Differentiable in the periodic vectors.

    Vectors of axes that are not periodic do not matter, they may be zero.

    Source: theory#free-axes.

    Args:
        positions: atoms in Å.
        cell: rows are lattice vectors in Å.
        pbc: periodicity along each lattice vector.
        reach: how far basis functions extend from their centers, see `basis_reach`.
        band: largest wave number in 1/Å that will be summed; the edge of the window has no other.
        tolerance: relative accuracy.
    """
    free = [axis for axis in range(3) if not pbc[axis]]
    if not free:
        return Box(cell, pbc, (0.0, 0.0, 0.0), 0.0, 0.0)
    sharpness = (math.log(1 / tolerance) + _MARGIN) * (1.0 if len(free) == 1 else _CORNERS)
    taper = 2 * sharpness / band
    directions = free_directions(cell, pbc)
    along = positions.detach() @ directions.detach().T
    extents = (along.amax(dim=0) - along.amin(dim=0)).tolist() if len(along) else [0.0] * len(free)
    exact = [0.0, 0.0, 0.0]
    rows = list(cell)
    for axis, direction, extent in zip(free, directions, extents, strict=True):
        # at large in-plane |k| the field decays as exp(-k z): from taper / 2 on faster than the
        # part of the edge's spectrum that a sphere of wave vectors cuts off
        exact[axis] = _STEP * math.ceil(max(extent + reach, taper / 2) / _STEP)
        rows[axis] = (2 * exact[axis] + taper) * direction
    return Box(torch.stack(rows), pbc, (exact[0], exact[1], exact[2]), taper, sharpness)


def free_directions(
    cell: Float[Tensor, "3 3"], pbc: tuple[bool, bool, bool]
) -> Float[Tensor, "free 3"]:
    """Orthonormal vectors normal to the periodic lattice vectors, differentiable in these."""
    periodic = [axis for axis in range(3) if pbc[axis]]
    if not periodic:
        return torch.eye(3, dtype=cell.dtype, device=cell.device)
    if len(periodic) == 2:
        normal = torch.linalg.cross(cell[periodic[0]], cell[periodic[1]])
        return (normal / torch.linalg.vector_norm(normal))[None]
    wire = cell[periodic[0]]
    aside = torch.eye(3, dtype=cell.dtype, device=cell.device)[wire.detach().abs().argmin()]
    first = torch.linalg.cross(wire, aside)
    second = torch.linalg.cross(wire, first)
    both = torch.stack([first, second])
    return both / torch.linalg.vector_norm(both, dim=1, keepdim=True)


@lru_cache(maxsize=64)
def basis_reach(basis: AbstractRadialBasis, max_angular: int, tolerance: float) -> float:
    """Radius in Å beyond which no function matters: its part of int r^2 |R_nl(r)| dr is negligible.

    Relative to the largest function of each l, as in the choice of the largest wave number.
    """
    functions = orthonormalize(basis, max_angular)
    weight = np.abs(functions.values) * functions.weights * functions.r**2
    beyond = np.cumsum(weight[:, :, ::-1], axis=2)[:, :, ::-1]
    total = beyond[:, :, :1].max(axis=1, keepdims=True)
    needed = (beyond > tolerance / 10 * total).any(axis=(0, 1))
    last = int(np.nonzero(needed)[0].max())
    return float(functions.r[min(last + 1, len(functions.r) - 1)])
