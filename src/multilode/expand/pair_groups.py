"""Pairs in the order of their centers and species, and slots in which equal numbers of them stand.

One batched product then sums over the neighbors of one species around many centers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from multilode.neighbors import Pairs
from multilode.structures import Structures

_CHUNK_LENGTHS = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48)
_CHUNK_COST = 24  # of a chunk, in units of the cost of one pair


@final
@dataclass(frozen=True)
class PairBlock:
    """Some chunks and their pairs.

    Args:
        pairs: sorted by (center, species).
        slots: pair in each slot of each chunk; the number of pairs stands for none.
        places: slot of each pair, counted over all chunks of the block.
    """

    pairs: Pairs
    slots: Int[Tensor, "chunk slot"]
    places: Int[Tensor, " pair"]


@final
@dataclass(frozen=True)
class PairGroups:
    """Pairs sorted by group, a (center, species), cut into chunks of equal length.

    Chunks bound the padding by half a chunk per group however uneven the groups are.

    Args:
        pairs: sorted by group; each one once.
        first: first pair of each chunk.
        stop: where the pairs of the group of each chunk end.
        group: group of each chunk; None if each group is one chunk.
        n_groups: number of groups, of which some may be empty.
        length: slots per chunk.
        offset: slot of a pair minus its number, for each pair.
    """

    pairs: Pairs
    first: Int[Tensor, " chunk"]
    stop: Int[Tensor, " chunk"]
    group: Int[Tensor, " chunk"] | None
    n_groups: int
    length: int
    offset: Int[Tensor, " pair"]

    def blocks(self, most_pairs: int) -> Iterator[PairBlock]:
        """Blocks of consecutive chunks with about this many slots each."""
        n_pairs, n_chunks = len(self.offset), len(self.first)
        step = max(1, most_pairs // self.length)
        starts = [0, n_pairs]
        if n_chunks > step:
            starts = [*self.first[::step].tolist(), n_pairs]
        for k, first_chunk in enumerate(range(0, n_chunks, step)):
            begin, end = starts[k], starts[k + 1]
            chunks, chosen = slice(first_chunk, first_chunk + step), slice(begin, end)
            number = torch.arange(self.length, device=self.first.device)
            slots = self.first[chunks, None] - begin + number
            slots = torch.where(slots < self.stop[chunks, None] - begin, slots, end - begin)
            places = torch.arange(begin, end, device=slots.device) + self.offset[chosen]
            pairs = Pairs(
                self.pairs.center[chosen], self.pairs.neighbor[chosen], self.pairs.shift[chosen]
            )
            yield PairBlock(pairs, slots, places - first_chunk * self.length)


def group_pairs(
    pairs: Pairs,
    structures: Structures,
    neighbor_species: Int[Tensor, " species"],
    centers: Int[Tensor, " center"],
) -> PairGroups:
    """Sort by center and species; pairs of other centers are left out."""
    device = structures.positions.device
    n_species, n_groups = len(neighbor_species), len(centers) * len(neighbor_species)
    rank = torch.full((structures.n_atoms,), n_groups, dtype=torch.int64, device=device)
    rank[centers] = torch.arange(0, n_groups, n_species, device=device)
    species = torch.searchsorted(neighbor_species, structures.species)
    key = rank.index_select(0, pairs.center) + species.index_select(0, pairs.neighbor)
    key, order = torch.sort(key, stable=True)
    if len(centers) < structures.n_atoms:
        kept = int((key < n_groups).sum())
        key, order = key[:kept], order[:kept]
    counts = torch.bincount(key, minlength=n_groups)
    stops = counts.cumsum(0)
    length, single = _chunk_length(counts)
    first, stop, group = stops - counts, stops, None
    chunks = torch.ones_like(counts) if single else (counts + length - 1) // length
    first_chunk = chunks.cumsum(0) - chunks
    offset = (first_chunk * length - first).index_select(0, key)
    if not single:
        group = torch.repeat_interleave(chunks)
        within = torch.arange(len(group), device=device) - first_chunk.index_select(0, group)
        first = first.index_select(0, group) + within * length
        stop = stops.index_select(0, group)
    chosen = Pairs(*(x.index_select(0, order) for x in (pairs.center, pairs.neighbor, pairs.shift)))
    return PairGroups(chosen, first, stop, group, n_groups, length, offset)


def _chunk_length(counts: Int[Tensor, " group"]) -> tuple[int, bool]:
    """The length that wastes least, on padding of the last chunks and on results of many chunks.

    Also whether each group, the empty ones too, then is one chunk.
    """
    most = int(counts.max()) if len(counts) else 1
    shorter = [n for n in _CHUNK_LENGTHS if n < most]
    lengths = torch.tensor([*shorter, max(most, 1)], device=counts.device)
    chunks = ((counts[:, None] + lengths - 1) // lengths).sum(dim=0)
    chunks[-1] = len(counts)
    best = int(torch.argmin(chunks * (lengths + _CHUNK_COST)))
    return [*shorter, max(most, 1)][best], best == len(shorter)
