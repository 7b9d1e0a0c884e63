"""Pairs of a center and a neighbor: within a cutoff, or all of an isolated structure."""

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from vesin import NeighborList

from multilode.structures import Structures


@final
@dataclass(frozen=True)
class Pairs:
    """Full list: each pair appears from both of its ends, periodic images of the center included.

    Args:
        center: atom at the center.
        neighbor: atom whose image is the neighbor.
        shift: lattice vectors to add to the neighbor.
    """

    center: Int[Tensor, " pair"]
    neighbor: Int[Tensor, " pair"]
    shift: Int[Tensor, "pair 3"]

    def vectors(self, structures: Structures) -> Float[Tensor, "pair 3"]:
        """r_neighbor - r_center in Å, differentiable in positions and cell."""
        positions = structures.positions
        vectors = positions[self.neighbor] - positions[self.center]
        if not bool(self.shift.any()):
            return vectors
        shift = self.shift.to(vectors.dtype)
        if structures.n_structures == 1:
            return vectors + shift @ structures.cell[0]
        cell = structures.cell[structures.structure_index[self.center]]
        return vectors + torch.einsum("pa,pax->px", shift, cell)


def pairs_within(structures: Structures, cutoff: float) -> Pairs:
    """All pairs closer than `cutoff` in Å, in each structure under its own periodicity."""
    positions = structures.positions.detach().cpu().numpy().astype(np.float64)
    cells = structures.cell.detach().cpu().numpy().astype(np.float64)
    pbc = structures.pbc.cpu().numpy()
    counts = structures.counts.cpu().numpy()
    search = NeighborList(cutoff=cutoff, full_list=True)
    found = []
    start = 0
    for count, cell, periodic in zip(counts, cells, pbc, strict=True):
        if count:
            points = positions[start : start + count]
            i, j, shift = search.compute(points, cell, periodic, "ijS")
            found.append((i.astype(np.int64) + start, j.astype(np.int64) + start, shift))
        start += count
    device = structures.positions.device
    columns = [np.concatenate(c) for c in zip(*found, strict=True)] if found else None
    if columns is None:
        columns = [np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 3), np.int64)]
    center, neighbor, shift = (torch.from_numpy(c.astype(np.int64)).to(device) for c in columns)
    return Pairs(center, neighbor, shift)


def all_pairs(structures: Structures) -> Pairs:
    """Every pair of different atoms of the same structure, without periodic images."""
    index, counts = structures.structure_index, structures.counts
    starts = counts.cumsum(0) - counts
    partners = counts[index]
    center = torch.repeat_interleave(torch.arange(len(index), device=index.device), partners)
    first = partners.cumsum(0) - partners
    rank = torch.arange(len(center), device=index.device) - first[center]
    neighbor = starts[index[center]] + rank
    different = center != neighbor
    center, neighbor = center[different], neighbor[different]
    return Pairs(center, neighbor, center.new_zeros((len(center), 3)))
