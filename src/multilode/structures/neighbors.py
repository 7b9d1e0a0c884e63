"""Pairs of a center and a neighbor: within a cutoff, or all of an isolated structure."""

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree
from torch import Tensor
from vesin import NeighborList

from multilode.structures.batch import Structures
from multilode.structures.compact import compacted
from multilode.structures.images import (
    both_directions,
    cutoff_in_cells,
    image_pairs,
    nearby_images,
    whole_cells,
)

_DENSE_LIMIT = 300_000  # comparisons per crystal; beyond, a search of linear cost is faster
_FEW = 3  # structures, for which a vectorised search is mostly overhead
# the grid of a search keeps all of its cells, and ends the process where it is very long
_LONGEST_GRID, _FEW_CELLS, _SPARSE = 300, 1e5, 30  # cells along an axis; at least; per atom
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
    near = compacted(structures, cutoff)
    if near is None:
        return _pairs_within(structures, cutoff)
    found, wraps = _pairs_within(near[0], cutoff), near[1]
    shift = found.shift + wraps[found.center] - wraps[found.neighbor]
    return Pairs(found.center, found.neighbor, shift)


def _pairs_within(structures: Structures, cutoff: float) -> Pairs:
    if structures.n_structures == 1 and structures.n_atoms and bool(structures.pbc.all()):
        return _one_crystal(structures, cutoff)
    periodic = structures.pbc.any(dim=1)
    small = ~periodic & (structures.counts <= _ALL_PAIRS_LIMIT)
    found = [_small_molecules(structures, small, cutoff)] if bool(small.any()) else []
    left = ~small & (structures.counts > 0)
    dense = left & periodic & _cheap_to_compare(structures, cutoff)
    if bool(dense.any()):
        images = nearby_images(structures, dense, cutoff)
        dense &= structures.counts * images.counts <= _DENSE_LIMIT
        found += [Pairs(*columns) for columns in image_pairs(structures, images, dense, cutoff)]
        left &= ~dense
    if bool(left.any()):
        found += _one_by_one(structures, left, cutoff)
    if len(found) == 1:
        return found[0]
    empty = torch.zeros((0, 3), dtype=torch.int64, device=structures.positions.device)
    return Pairs(
        torch.cat([empty[:, 0], *[p.center for p in found]]),
        torch.cat([empty[:, 0], *[p.neighbor for p in found]]),
        torch.cat([empty, *[p.shift for p in found]]),
    )


def _cheap_to_compare(structures: Structures, cutoff: float) -> Bool[Tensor, " structure"]:
    """Structures of few atoms: many of them, or so small that a grid of cells is no use."""
    small = structures.counts**2 <= _DENSE_LIMIT
    if structures.n_structures > _FEW:
        return small
    return small & (cutoff_in_cells(structures, cutoff) > 0.5).any(dim=1)


def _one_crystal(structures: Structures, cutoff: float) -> Pairs:
    """A single crystal, with as little as possible around the search: it may be a small one."""
    cell = structures.cell[0].detach().to("cpu", torch.float64).numpy()
    in_cells = cutoff * np.linalg.norm(np.linalg.inv(cell), axis=0)
    small = structures.n_atoms**2 <= _DENSE_LIMIT and in_cells.max() > 0.5
    if _is_sparse(cell, structures.n_atoms, cutoff):
        return _by_tree(structures, structures.pbc.new_ones(1), cutoff)
    if small:
        everything = structures.pbc.new_ones(1)
        images = nearby_images(structures, everything, cutoff)
        if structures.n_atoms * int(images.counts) <= _DENSE_LIMIT:
            (columns,) = image_pairs(structures, images, everything, cutoff)
            return Pairs(*columns)
    points = structures.positions.detach().to("cpu", torch.float64).numpy()
    search = NeighborList(cutoff=cutoff, full_list=True)
    found = search.compute(points, cell, [True] * 3, "ijS")
    device = structures.positions.device
    return Pairs(*(torch.from_numpy(c.astype(np.int64)).to(device) for c in found))


def _one_by_one(
    structures: Structures, chosen: Bool[Tensor, " structure"], cutoff: float
) -> list[Pairs]:
    """Large structures, each with a search whose cost is linear in its size."""
    device = structures.positions.device
    cells, pbc = whole_cells(structures).cpu().numpy(), structures.pbc.cpu().numpy()
    positions = structures.positions.detach().to("cpu", torch.float64).numpy()
    search = NeighborList(cutoff=cutoff, full_list=True)
    stops = structures.counts.cumsum(0).tolist()
    found = []
    for k in chosen.nonzero().flatten().tolist():
        first = stops[k - 1] if k else 0
        points = positions[first : stops[k]]
        if pbc[k].any():
            # along free axes a length is needed, though it changes nothing
            scale = np.where(pbc[k], 1, np.ptp(points @ np.linalg.inv(cells[k]), axis=0) + cutoff)
            box = cells[k] * scale[:, None]
            if _is_sparse(box, len(points), cutoff):
                mine = torch.zeros_like(chosen)
                mine[k] = True
                found.append(_by_tree(structures, mine, cutoff))
                continue
            i, j, shift = search.compute(points, box, pbc[k], "ijS")
        else:
            i, j, shift = _large_molecule(points, cutoff)
        columns = (i.astype(np.int64) + first, j.astype(np.int64) + first, shift.astype(np.int64))
        found.append(Pairs(*(torch.from_numpy(c).to(device) for c in columns)))
    return found


def _is_sparse(box: Float[np.ndarray, "3 3"], n_atoms: int, cutoff: float) -> bool:
    """Whether a grid would have many cells without atoms, or be too long for the search."""
    cells = np.linalg.norm(box, axis=1) / cutoff
    return bool(cells.max() > _LONGEST_GRID or cells.prod() > max(_FEW_CELLS, _SPARSE * n_atoms))


def _by_tree(structures: Structures, mine: Bool[Tensor, " structure"], cutoff: float) -> Pairs:
    """Pairs of one structure, whatever the space between its atoms."""
    images = nearby_images(structures, mine, cutoff)
    device = structures.positions.device
    own = mine[structures.structure_index].nonzero().flatten()
    trees = [KDTree(x.cpu().numpy()) for x in (images.points[own], images.place)]
    near = trees[0].sparse_distance_matrix(trees[1], cutoff, output_type="ndarray")
    center = own[torch.from_numpy(near["i"].astype(np.int64)).to(device)]
    image = torch.from_numpy(near["j"].astype(np.int64)).to(device)
    return Pairs(*both_directions(images, center, image))


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
    half = KDTree(points).query_pairs(cutoff, output_type="ndarray")
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
