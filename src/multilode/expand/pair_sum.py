"""Expansion as a sum over neighbors: exact for isolated structures and short-ranged fields."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from multilode.expand.expansion import FieldExpansion
from multilode.harmonics import spherical_harmonics
from multilode.neighbors import Pairs, all_pairs, pairs_within
from multilode.radial_integrals import DEFAULT_TOLERANCE, RealTable, check_tolerance, real_table
from multilode.structures import Structures

_CHUNK_LENGTHS = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48)
_BLOCK_PAIRS = 16384  # whose temporaries of a few MB stay in cache
_RECOMPUTED_PAIRS = 500_000  # beyond, the backward pass computes blocks again to save memory
_CHUNK_COST = 6  # of storing the result of a chunk, in units of the cost of one pair


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
        groups = _group(pairs, structures, neighbor_species, centers)
        return _sum_groups(groups, expansion, structures, table, len(neighbor_species))


@final
@dataclass(frozen=True)
class _Groups:
    """Pairs sorted by (center, species), cut into chunks of equal length: one product each.

    Chunks bound the padding by half a chunk per group however uneven the groups are.
    """

    pairs: Pairs  # [chunk * slot], padded with copies of the first pair
    real: Float[Tensor, " chunk slot"]  # 1 for a pair, 0 for padding
    group: Int[Tensor, " chunk"]
    n_groups: int
    one_to_one: bool

    def block(self, first: int, stop: int) -> tuple[Pairs, Float[Tensor, "chunk slot"]]:
        """Pairs and weights of some consecutive chunks."""
        length = self.real.shape[1]
        chosen = slice(first * length, stop * length)
        pairs = Pairs(
            self.pairs.center[chosen], self.pairs.neighbor[chosen], self.pairs.shift[chosen]
        )
        return pairs, self.real[first:stop]


def _group(
    pairs: Pairs,
    structures: Structures,
    neighbor_species: Int[Tensor, " species"],
    centers: Int[Tensor, " center"],
) -> _Groups:
    device = structures.positions.device
    rank = torch.full((structures.n_atoms,), -1, dtype=torch.int64, device=device)
    rank[centers] = torch.arange(len(centers), device=device)
    n_species = len(neighbor_species)
    species = torch.searchsorted(neighbor_species, structures.species[pairs.neighbor])
    key = rank[pairs.center] * n_species + species
    key, order = torch.sort(key, stable=True)
    skipped = int((key < 0).sum()) if len(centers) < structures.n_atoms else 0
    key, order = key[skipped:], order[skipped:]

    n_groups = len(centers) * n_species
    counts = torch.bincount(key, minlength=n_groups)
    length = _chunk_length(counts)
    chunks = (counts + length - 1) // length
    first_chunk = chunks.cumsum(0) - chunks
    within = torch.arange(len(key), device=device) - (counts.cumsum(0) - counts)[key]
    slot = (first_chunk[key] * length) + within  # consecutive chunks of one group are adjacent
    n_chunks = int(chunks.sum())

    padded = torch.zeros(n_chunks * length, dtype=torch.int64, device=device)
    padded[slot] = order
    real = torch.zeros(n_chunks * length, dtype=structures.positions.dtype, device=device)
    real[slot] = 1
    if len(order):
        padded = torch.where(real > 0, padded, order[0])
    chosen = Pairs(pairs.center[padded], pairs.neighbor[padded], pairs.shift[padded])
    group = torch.repeat_interleave(torch.arange(n_groups, device=device), chunks)
    one_to_one = n_chunks == n_groups and bool((chunks == 1).all())
    return _Groups(chosen, real.reshape(n_chunks, length), group, n_groups, one_to_one)


def _chunk_length(counts: Int[Tensor, " group"]) -> int:
    """The length that wastes least, on padding of the last chunks and on results of many chunks."""
    lengths = torch.tensor(_CHUNK_LENGTHS, device=counts.device)
    chunks = ((counts[:, None] + lengths - 1) // lengths).sum(dim=0)
    return int(lengths[torch.argmin(chunks * (lengths + _CHUNK_COST))])


def _sum_groups(
    groups: _Groups,
    expansion: FieldExpansion,
    structures: Structures,
    table: RealTable,
    n_species: int,
) -> list[Float[Tensor, "center m species n"]]:
    """Sum block by block: temporaries stay in cache, and a long list of pairs fits in memory."""
    n_chunks, length = groups.real.shape
    step = max(1, _BLOCK_PAIRS // length)
    recompute = torch.is_grad_enabled() and groups.real.numel() > _RECOMPUTED_PAIRS
    widths = [(2 * l + 1) * table.n_radial for l in range(expansion.max_angular + 1)]
    sums = [structures.positions.new_zeros((0, sum(widths)))]
    for first in range(0, n_chunks, step):
        part = (groups.block(first, first + step), expansion, structures, table)
        sums.append(
            checkpoint(_sum_chunks, *part, use_reentrant=False) if recompute else _sum_chunks(*part)
        )
    total = torch.cat(sums)
    if not groups.one_to_one:
        zeros = total.new_zeros((groups.n_groups, total.shape[1]))
        total = zeros.index_add_(0, groups.group, total)
    # not -1 for the components: there may be no group
    shapes = [(-1, n_species, 2 * l + 1, table.n_radial) for l in range(len(widths))]
    blocks = total.split(widths, dim=1)
    return [b.reshape(shape).transpose(1, 2) for b, shape in zip(blocks, shapes, strict=True)]


def _sum_chunks(
    block: tuple[Pairs, Float[Tensor, "chunk slot"]],
    expansion: FieldExpansion,
    structures: Structures,
    table: RealTable,
) -> Float[Tensor, "chunk l_m_n"]:
    """Products of harmonics and radial functions, summed over the slots of each chunk."""
    pairs, real = block
    vectors = pairs.vectors(structures)
    distances = torch.linalg.vector_norm(vectors, dim=1)
    _check_apart(distances.detach(), pairs, structures)
    weight = real.flatten()
    if expansion.cutoff is not None:
        weight = weight * expansion.cutoff_function(distances, expansion.cutoff)
    radial = table(distances) * weight[:, None, None]
    radial = radial.unflatten(0, real.shape)
    angular = spherical_harmonics(vectors, expansion.max_angular).unflatten(0, real.shape)
    products = [
        torch.bmm(angular[:, :, l * l : (l + 1) ** 2].transpose(1, 2), radial[:, :, l])
        for l in range(expansion.max_angular + 1)
    ]  # [chunk, m, n]
    return torch.cat([product.flatten(start_dim=1) for product in products], dim=1)


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
