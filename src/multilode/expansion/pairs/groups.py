"""Pairs in the order of their centers, and slots in which equal numbers of them stand.

One batched product then sums over the neighbors of one kind around many centers. Kinds are species,
or all neighbors are of one kind and bring strengths.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from multilode.structures.neighbors import Pairs

_CHUNK_LENGTHS = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48)
_CHUNK_COST = 24  # of a chunk, in units of the cost of one pair


@final
@dataclass(frozen=True)
class Slots:
    """Places of the neighbors of one kind around the centers of a block.

    Args:
        pair: pair of the block in each slot; the number of pairs stands for none.
        center: center of each chunk; None if each center has one chunk, in order.
    """

    pair: Int[Tensor, "chunk slot"]
    center: Int[Tensor, " chunk"] | None


@final
@dataclass(frozen=True)
class PairBlock:
    """Some centers, and their pairs sorted by (center, kind).

    Args:
        pairs: the pairs.
        n_centers: number of centers.
        slots: of each kind that any pair has.
        kinds: number of that kind.
        places: slot of each pair, counted over the kinds one after the other.
    """

    pairs: Pairs
    n_centers: int
    slots: tuple[Slots, ...]
    kinds: tuple[int, ...]
    places: Int[Tensor, " pair"]


@final
@dataclass(frozen=True)
class PairGroups:
    """Pairs sorted by group, a (center, kind), each group to be cut into chunks.

    Chunks have one length per kind, which bounds the padding by half a chunk per group however
    uneven the groups are.

    Args:
        pairs: sorted; each one once.
        key: center times number of kinds, plus kind, of each pair.
        counts: pairs in each group.
        lengths: slots per chunk, 0 for a kind that no pair has.
        single: whether each group of a kind, the empty ones too, is one chunk.
    """

    pairs: Pairs
    key: Int[Tensor, " pair"]
    counts: Int[Tensor, "center kind"]
    lengths: tuple[int, ...]
    single: tuple[bool, ...]

    def blocks(self, most_pairs: int) -> Iterator[PairBlock]:
        """Blocks of consecutive centers with about this many pairs each."""
        n_centers, n_kinds = self.counts.shape
        stops = self.counts.flatten().cumsum(0).unflatten(0, (n_centers, n_kinds))
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
            key = self.key[chosen] - number * step * n_kinds
            yield self._block(pairs, *parts, key)

    def _block(
        self,
        pairs: Pairs,
        starts: Int[Tensor, "center kind"],
        stops: Int[Tensor, "center kind"],
        key: Int[Tensor, " pair"],
    ) -> PairBlock:
        slots, base, kinds, n_slots = [], torch.zeros_like(starts), [], 0
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
            kinds.append(k)
            n_slots += len(first) * length
        places = torch.arange(len(key), device=key.device)
        places += (base - starts).flatten().index_select(0, key)
        return PairBlock(pairs, len(starts), tuple(slots), tuple(kinds), places)


def group_pairs(
    pairs: Pairs,
    kinds: Int[Tensor, " atom"],
    n_kinds: int,
    centers: Int[Tensor, " center"],
) -> PairGroups:
    """Sort by center and kind of neighbor; pairs of other centers are left out."""
    n_groups = len(centers) * n_kinds
    rank = torch.full_like(kinds, n_groups)
    rank[centers] = torch.arange(0, n_groups, n_kinds, device=kinds.device)
    key = rank.index_select(0, pairs.center) + kinds.index_select(0, pairs.neighbor)
    key, order = torch.sort(key, stable=True)
    if len(centers) < len(kinds):
        kept = int((key < n_groups).sum())
        key, order = key[:kept], order[:kept]
    counts = torch.bincount(key, minlength=n_groups).unflatten(0, (len(centers), n_kinds))
    chosen = Pairs(*(x.index_select(0, order) for x in (pairs.center, pairs.neighbor, pairs.shift)))
    return PairGroups(chosen, key, counts, *_chunk_lengths(counts))


def _chunk_lengths(
    counts: Int[Tensor, "center kind"],
) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """For each kind the length that wastes least, on padding and on results of many chunks.

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
