"""Pairs in the order of their centers and species, and slots in which equal numbers of them stand.

One batched product then sums over the neighbors of one species around many centers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from multilode.structures.batch import Structures
from multilode.structures.neighbors import Pairs

_CHUNK_LENGTHS = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48)
_CHUNK_COST = 24  # of a chunk, in units of the cost of one pair


@final
@dataclass(frozen=True)
class Slots:
    """Places of the neighbors of one species around the centers of a block.

    Args:
        pair: pair of the block in each slot; the number of pairs stands for none.
        center: center of each chunk; None if each center has one chunk, in order.
    """

    pair: Int[Tensor, "chunk slot"]
    center: Int[Tensor, " chunk"] | None


@final
@dataclass(frozen=True)
class PairBlock:
    """Some centers, and their pairs sorted by (center, species).

    Args:
        pairs: the pairs.
        n_centers: number of centers.
        slots: of each species that any pair has.
        species: index of that species.
        places: slot of each pair, counted over the species one after the other.
    """

    pairs: Pairs
    n_centers: int
    slots: tuple[Slots, ...]
    species: tuple[int, ...]
    places: Int[Tensor, " pair"]


@final
@dataclass(frozen=True)
class PairGroups:
    """Pairs sorted by group, a (center, species), each group to be cut into chunks.

    Chunks have one length per species, which bounds the padding by half a chunk per group however
    uneven the groups are.

    Args:
        pairs: sorted; each one once.
        key: center times number of species, plus species, of each pair.
        counts: pairs in each group.
        lengths: slots per chunk, 0 for a species that no pair has.
        single: whether each group of a species, the empty ones too, is one chunk.
    """

    pairs: Pairs
    key: Int[Tensor, " pair"]
    counts: Int[Tensor, "center species"]
    lengths: tuple[int, ...]
    single: tuple[bool, ...]

    def blocks(self, most_pairs: int) -> Iterator[PairBlock]:
        """Blocks of consecutive centers with about this many pairs each."""
        n_centers, n_species = self.counts.shape
        stops = self.counts.flatten().cumsum(0).unflatten(0, (n_centers, n_species))
        starts = stops - self.counts
        step = max(1, most_pairs * n_centers // max(1, len(self.key)))
        bounds = [0, len(self.key)]
        if step < n_centers:
            bounds = [*starts[::step, 0].tolist(), len(self.key)]
        for number, (begin, end) in enumerate(pairwise(bounds)):
            centers, chosen = slice(number * step, (number + 1) * step), slice(begin, end)
            pairs = self.pairs
            if step < n_centers:
                pairs = Pairs(pairs.center[chosen], pairs.neighbor[chosen], pairs.shift[chosen])
            parts = starts[centers] - begin, stops[centers] - begin
            key = self.key[chosen] - number * step * n_species
            yield self._block(pairs, *parts, key)

    def _block(
        self,
        pairs: Pairs,
        starts: Int[Tensor, "center species"],
        stops: Int[Tensor, "center species"],
        key: Int[Tensor, " pair"],
    ) -> PairBlock:
        slots, base, species, n_slots = [], torch.zeros_like(starts), [], 0
        for k, (length, single) in enumerate(zip(self.lengths, self.single, strict=True)):
            if length == 0:
                continue
            first, stop, center = starts[:, k], stops[:, k], None
            if single:
                base[:, k] = torch.arange(n_slots, n_slots + len(first) * length, length)
            else:
                chunks = (stop - first + length - 1) // length
                before = chunks.cumsum(0) - chunks
                base[:, k] = before * length + n_slots
                center = torch.repeat_interleave(chunks)
                within = torch.arange(len(center), device=key.device) - before[center]
                first, stop = first[center] + within * length, stop[center]
            number = first[:, None] + torch.arange(length, device=key.device)
            slots.append(Slots(torch.where(number < stop[:, None], number, len(key)), center))
            species.append(k)
            n_slots += len(first) * length
        places = torch.arange(len(key), device=key.device)
        places += (base - starts).flatten().index_select(0, key)
        return PairBlock(pairs, len(starts), tuple(slots), tuple(species), places)


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
    counts = torch.bincount(key, minlength=n_groups).unflatten(0, (len(centers), n_species))
    chosen = Pairs(*(x.index_select(0, order) for x in (pairs.center, pairs.neighbor, pairs.shift)))
    return PairGroups(chosen, key, counts, *_chunk_lengths(counts))


def _chunk_lengths(
    counts: Int[Tensor, "center species"],
) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """For each species the length that wastes least, on padding and on results of many chunks.

    Also whether each group is then one chunk.
    """
    if not len(counts):
        return (0,) * counts.shape[1], (True,) * counts.shape[1]
    sizes = counts.cpu().numpy()
    lengths, single = [], []
    for size in sizes.T:
        most = int(size.max())
        choices = np.array([*_CHUNK_LENGTHS, max(1, most)])
        chunks = -(-size[:, None] // choices).sum(axis=0)
        chunks[-1] = len(size)
        best = int(np.argmin(chunks * (choices + _CHUNK_COST)))
        lengths.append(int(choices[best]) if most else 0)
        single.append(best == len(_CHUNK_LENGTHS))
    return tuple(lengths), tuple(single)
