"""Expansion as a sum over neighbors: exact for isolated structures and short-ranged fields."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from multilode.expand.expansion import FieldExpansion
from multilode.expand.pair_groups import PairBlock, PairGroups, group_pairs
from multilode.expand.pair_products import chunk_sums
from multilode.harmonics import spherical_harmonics
from multilode.neighbors import Pairs, all_pairs, pairs_within
from multilode.radial_integrals import DEFAULT_TOLERANCE, RealTable, check_tolerance, real_table
from multilode.structures import Structures

_BLOCK_PAIRS = 16384  # whose temporaries of a few MB stay in cache
_RECOMPUTED_PAIRS = 500_000  # beyond, the backward pass computes blocks again to save memory


@final
@dataclass(frozen=True)
class PairSum:
    """Sum over pairs, F_nl(r_ji) Y_lm(r^_ji). Source: theory, section 2, real space.

    Args:
        tolerance: relative accuracy of the tabulated radial integrals.

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
        """Coefficients of the neighbors of each center (without its own contribution), one per l.

        Raises:
            ValueError: if a periodic structure is given and the expansion has no cutoff, or two
                atoms are in the same place.
        """
        if expansion.cutoff is None and bool(structures.pbc.any()):
            raise ValueError(
                "a sum over all pairs of a periodic structure does not end; "
                "give a cutoff or use ReciprocalSum"
            )
        table = real_table(
            expansion.field,
            expansion.radial,
            expansion.max_angular,
            expansion.cutoff,
            self.tolerance,
        )
        pairs = (
            all_pairs(structures)
            if expansion.cutoff is None
            else pairs_within(structures, expansion.cutoff)
        )
        groups = group_pairs(pairs, structures, neighbor_species, centers)
        return _sum_groups(groups, expansion, structures, table, len(neighbor_species))


def _sum_groups(
    groups: PairGroups,
    expansion: FieldExpansion,
    structures: Structures,
    table: RealTable,
    n_species: int,
) -> list[Float[Tensor, "center m species n"]]:
    """Sum block by block: temporaries stay in cache, and a long list of pairs fits in memory."""
    recompute = torch.is_grad_enabled() and len(groups.offset) > _RECOMPUTED_PAIRS
    parts = []
    for block in groups.blocks(_BLOCK_PAIRS):
        part = (block, expansion, structures, table)
        parts.append(
            checkpoint(_sum_chunks, *part, use_reentrant=False) if recompute else _sum_chunks(*part)
        )
    sums = []
    for l in range(expansion.max_angular + 1):
        shape = (groups.n_groups, 2 * l + 1, table.n_radial)
        if not parts:
            total = structures.positions.new_zeros(shape)
        else:
            total = torch.cat([part[l] for part in parts]) if len(parts) > 1 else parts[0][l]
        if parts and groups.group is not None:
            total = total.new_zeros(shape).index_add_(0, groups.group, total)
        # not -1 for the centers: there may be no group
        n_centers = groups.n_groups // n_species
        sums.append(total.reshape(n_centers, n_species, *shape[1:]).transpose(1, 2))
    return sums


def _sum_chunks(
    block: PairBlock, expansion: FieldExpansion, structures: Structures, table: RealTable
) -> tuple[Float[Tensor, "chunk _ n"], ...]:
    """Products of harmonics and radial functions, summed over the slots of each chunk."""
    if not len(block.places):  # all of these groups are empty
        widths = [2 * l + 1 for l in range(expansion.max_angular + 1)]
        return tuple(
            structures.positions.new_zeros((len(block.slots), m, table.n_radial)) for m in widths
        )
    vectors = block.pairs.vectors(structures)
    distances = torch.linalg.vector_norm(vectors, dim=1)
    _check_apart(distances.detach(), block.pairs, structures)
    weight = None
    if expansion.cutoff is not None:
        weight = expansion.cutoff_function(distances, expansion.cutoff)
    angular = spherical_harmonics(vectors, expansion.max_angular)
    return chunk_sums(table(distances), weight, angular, block.slots, block.places)


def _check_apart(distances: Float[Tensor, " pair"], pairs: Pairs, structures: Structures) -> None:
    if bool((distances > 0).all()):
        return
    pair = int(distances.argmin())
    atoms = sorted((int(pairs.center[pair]), int(pairs.neighbor[pair])))
    raise ValueError(
        f"atoms {atoms[0]} and {atoms[1]} of the batch (structure "
        f"{int(structures.structure_index[atoms[0]])}) are in the same place, where the direction "
        "from one to the other is not defined; remove one of them"
    )
