"""Pairs of a center and a neighbor: within a cutoff, or all of an isolated structure."""

from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from torch import Tensor
from vesin import NeighborList

from multilode.structures import Structures

_ALL_PAIRS_LIMIT = 256  # atoms; comparing all pairs of smaller molecules beats any search


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
    device = structures.positions.device
    periodic = structures.pbc.any(dim=1)
    small = ~periodic & (structures.counts <= _ALL_PAIRS_LIMIT)
    found = [_small_molecules(structures, small, cutoff)] if bool(small.any()) else []
    positions = structures.positions.detach().to("cpu", torch.float64).numpy()
    cells = structures.cell.detach().to("cpu", torch.float64).numpy()
    pbc = structures.pbc.cpu().numpy()
    search = NeighborList(cutoff=cutoff, full_list=True)
    stops = structures.counts.cumsum(0).tolist()
    for k, (first, stop) in enumerate(pairwise([0, *stops])):
        if small[k] or first == stop:
            continue
        points = positions[first:stop]
        if pbc[k].any():
            i, j, shift = search.compute(points, cells[k], pbc[k], "ijS")
        else:
            i, j, shift = _large_molecule(points, cutoff)
        columns = (i.astype(np.int64) + first, j.astype(np.int64) + first, shift.astype(np.int64))
        found.append(Pairs(*(torch.from_numpy(c).to(device) for c in columns)))
    if len(found) == 1:
        return found[0]
    empty = torch.zeros((0, 3), dtype=torch.int64, device=device)
    return Pairs(
        torch.cat([empty[:, 0], *[p.center for p in found]]),
        torch.cat([empty[:, 0], *[p.neighbor for p in found]]),
        torch.cat([empty, *[p.shift for p in found]]),
    )


def _small_molecules(
    structures: Structures, chosen: Bool[Tensor, " structure"], cutoff: float
) -> Pairs:
    """One vectorised comparison for a whole batch of molecules."""
    pairs = all_pairs(structures, chosen)
    positions = structures.positions.detach()
    apart = positions[pairs.neighbor] - positions[pairs.center]
    near = apart.square().sum(dim=1) <= cutoff**2
    return Pairs(pairs.center[near], pairs.neighbor[near], pairs.shift[near])


def _large_molecule(
    points: Float[np.ndarray, "atom 3"], cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # a tree and not a grid: far fragments would need more cells than can be counted
    half = cKDTree(points).query_pairs(cutoff, output_type="ndarray")
    i, j = np.concatenate([half, half[:, ::-1]]).T
    return i, j, np.zeros((len(i), 3), dtype=np.int64)


def all_pairs(structures: Structures, chosen: Bool[Tensor, " structure"] | None = None) -> Pairs:
    """Every pair of different atoms of the same structure, without periodic images.

    Args:
        structures: the batch.
        chosen: the structures to pair; all by default.
    """
    index, counts = structures.structure_index, structures.counts
    starts = counts.cumsum(0) - counts
    partners = counts[index]
    if chosen is not None:
        partners = partners * chosen[index]
    center = torch.repeat_interleave(torch.arange(len(index), device=index.device), partners)
    first = partners.cumsum(0) - partners
    rank = torch.arange(len(center), device=index.device) - first[center]
    neighbor = starts[index[center]] + rank
    different = center != neighbor
    center, neighbor = center[different], neighbor[different]
    return Pairs(center, neighbor, center.new_zeros((len(center), 3)))
