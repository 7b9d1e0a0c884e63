"""Expansion of crystals as a sum over reciprocal lattice vectors, written as matrix products."""

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from multilode.expand.expansion import FieldExpansion
from multilode.expand.phases import phase_correlations
from multilode.harmonics import spherical_harmonics
from multilode.radial_integrals import (
    DEFAULT_TOLERANCE,
    ReciprocalTable,
    check_tolerance,
    reciprocal_table,
)
from multilode.structures import Structures

# Temporaries of a few MB stay in cache, and the allocator keeps them between blocks
_BLOCK_ELEMENTS = 1_000_000
# Correlations [center species, k] above which blocks are computed again in the backward pass
_RECOMPUTED_ELEMENTS = 50_000_000
_MOST_PLANE_WAVES = 10**8


@final
@dataclass(frozen=True)
class ReciprocalSum:
    """Sum over half of the reciprocal lattice. Source: 2019 Eq. 9; theory, section 2.

    It knows the field of the whole crystal: a cutoff of the expansion and its function have no
    effect here. `expand` chooses this method by itself only for expansions without a cutoff.

    Args:
        tolerance: relative accuracy; it sets the largest |k| and the tables.

    Raises:
        ValueError: if the tolerance is outside of [1e-12, 1e-2].
    """

    tolerance: float = DEFAULT_TOLERANCE

    def __post_init__(self) -> None:
        check_tolerance(self.tolerance)

    def coefficients(
        self,
        expansion: FieldExpansion,
        structures: Structures,
        neighbor_species: Int[Tensor, " species"],
        centers: Int[Tensor, " center"],
    ) -> list[Float[Tensor, "center m species n"]]:
        """Coefficients of everything around each center, itself included, one per l.

        Raises:
            ValueError: if a structure is not periodic along all three axes.
        """
        partial = ~structures.pbc.all(dim=1)
        if bool(partial.any()):
            raise ValueError(
                f"structure {int(partial.nonzero()[0])} is not periodic along all three axes; "
                "ReciprocalSum is for crystals, PairSum for isolated structures"
            )
        table = reciprocal_table(
            expansion.field, expansion.radial, expansion.max_angular, self.tolerance
        )
        counts = structures.counts
        stops = counts.cumsum(0).tolist()
        center_structure = structures.structure_index[centers]
        per_structure = torch.bincount(center_structure, minlength=structures.n_structures)
        pieces = []
        for chosen, stop, count, cell in zip(
            torch.split(centers, per_structure.tolist()),
            stops,
            counts.tolist(),
            structures.cell,
            strict=True,
        ):
            atoms = slice(stop - count, stop)
            kinds = torch.searchsorted(neighbor_species, structures.species[atoms])
            pieces.append(
                _one_crystal(
                    expansion,
                    table,
                    cell,
                    structures.positions[atoms],
                    kinds,
                    len(neighbor_species),
                    chosen - (stop - count),
                )
            )
        return [torch.cat(blocks) for blocks in zip(*pieces, strict=True)]


def _one_crystal(
    expansion: FieldExpansion,
    table: ReciprocalTable,
    cell: Float[Tensor, "3 3"],
    positions: Float[Tensor, "atom 3"],
    kinds: Int[Tensor, " atom"],
    n_species: int,
    centers: Int[Tensor, " center"],
) -> list[Float[Tensor, "center m species n"]]:
    members = torch.nn.functional.one_hot(kinds, n_species).to(positions.dtype).T
    steps = half_space(cell.detach(), table.k_max)
    reciprocal = 2 * torch.pi * torch.linalg.inv(cell)  # columns are reciprocal lattice vectors
    angles = positions @ reciprocal
    # a lattice translation changes nothing but the rounding of large phases
    angles = angles - 2 * torch.pi * torch.round(angles.detach() / (2 * torch.pi))
    volume = torch.linalg.det(cell).abs()
    rows = max(1, len(centers) * n_species)
    recompute = torch.is_grad_enabled() and rows * len(steps) > _RECOMPUTED_ELEMENTS
    even = odd = None
    for part in torch.split(steps, max(256, _BLOCK_ELEMENTS // rows)):
        given = (part, angles, reciprocal, volume, members, centers, expansion, table)
        products = checkpoint(_block, *given, use_reentrant=False) if recompute else _block(*given)
        even = products[0] if even is None else even + products[0]
        odd = products[1] if odd is None else odd + products[1]
    return _unpack(even, odd, expansion, table, members, volume, len(centers))


def _block(
    steps: Int[Tensor, "k 3"],
    angles: Float[Tensor, "atom 3"],
    reciprocal: Float[Tensor, "3 3"],
    volume: Float[Tensor, ""],
    members: Float[Tensor, "species atom"],
    centers: Int[Tensor, " center"],
    expansion: FieldExpansion,
    table: ReciprocalTable,
) -> tuple[Float[Tensor, "center_species even"], Float[Tensor, "center_species odd"]]:
    """Contribution of some wave vectors, columns (l, m, n) of even and of odd l."""
    h = steps.to(angles.dtype)
    even, odd = _weights(expansion, table, h @ reciprocal.T, volume)
    symmetric, antisymmetric = phase_correlations(angles @ h.T, members, centers)
    return symmetric @ even, antisymmetric @ odd


def half_space(cell: Float[Tensor, "3 3"], k_max: float) -> Int[Tensor, "k 3"]:
    """Integers h of one of each pair k, -k with 0 < |k| <= k_max, k = 2 pi h cell^-T.

    Valid for skewed and left-handed cells: h_i = k . a_i / 2 pi is at most k_max |a_i| / 2 pi.

    Raises:
        ValueError: if there are so many that no memory would suffice.
    """
    lengths = torch.linalg.vector_norm(cell, dim=1)
    limits = torch.floor(k_max * lengths / (2 * math.pi)).to(torch.int64).tolist()
    count = math.prod(2 * n + 1 for n in limits) / 2
    if count > _MOST_PLANE_WAVES:
        raise ValueError(
            f"a cell of {', '.join(f'{length:.4g}' for length in lengths.tolist())} Å needs up to "
            f"{count:.1e} plane waves, more than {_MOST_PLANE_WAVES:.0e}; use pbc=False for a "
            "molecule, a smaller cell, or a larger smearing"
        )
    axes = [torch.arange(-n, n + 1, device=cell.device) for n in limits]
    axes[0] = axes[0][limits[0] :]
    h = torch.cartesian_prod(*axes)
    upper = (h[:, 0] > 0) | (h[:, 1] > 0) & (h[:, 0] == 0)
    upper |= (h[:, 2] > 0) & (h[:, 0] == 0) & (h[:, 1] == 0)
    k = h.to(cell.dtype) @ (2 * torch.pi * torch.linalg.inv(cell)).T
    return h[upper & (k.square().sum(dim=1) <= k_max**2)]


def _weights(
    expansion: FieldExpansion,
    table: ReciprocalTable,
    k_vectors: Float[Tensor, "k 3"],
    volume: Float[Tensor, ""],
) -> tuple[Float[Tensor, "k even"], Float[Tensor, "k odd"]]:
    """Kernel times projector, columns (l, m, n) of even and of odd l; depends on the cell alone."""
    k = torch.linalg.vector_norm(k_vectors, dim=1)
    # both halves of the reciprocal lattice: a factor of two
    kernel = expansion.field.fourier(k) * (8 * torch.pi / volume)
    radial = table(k) * kernel[:, None, None]
    angular = spherical_harmonics(k_vectors, expansion.max_angular)
    columns: tuple[list[Tensor], list[Tensor]] = ([], [])
    for l in range(expansion.max_angular + 1):
        sign = (-1) ** (l // 2)
        outer = angular[:, l * l : (l + 1) ** 2, None] * (sign * radial[:, l, None, :])
        columns[l % 2].append(outer.flatten(start_dim=1))
    odd = torch.cat(columns[1], dim=1) if columns[1] else angular[:, :0]
    return torch.cat(columns[0], dim=1), odd


def _unpack(
    even: Tensor | None,
    odd: Tensor | None,
    expansion: FieldExpansion,
    table: ReciprocalTable,
    members: Float[Tensor, "species atom"],
    volume: Float[Tensor, ""],
    n_centers: int,
) -> list[Float[Tensor, "center m species n"]]:
    """Split the columns by l, and add the k = 0 term, which only l = 0 has."""
    n_species, n_radial = len(members), table.n_radial
    result = []
    start = [0, 0]
    for l in range(expansion.max_angular + 1):
        source = (even, odd)[l % 2]
        width = (2 * l + 1) * n_radial
        if source is None:
            block = members.new_zeros((n_centers, n_species, 2 * l + 1, n_radial))
        else:
            block = source[:, start[l % 2] : start[l % 2] + width]
            block = block.reshape(n_centers, n_species, 2 * l + 1, n_radial)
        start[l % 2] += width
        result.append(block.transpose(1, 2))
    front = math.sqrt(4 * math.pi) * expansion.field.fourier_origin()
    background = front / volume * members.sum(dim=1)[:, None] * table.origin.to(members)
    result[0] = result[0] + background
    return result
