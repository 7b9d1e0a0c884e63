"""Slopes of features that are summed over centers, for all displacements at once.

With the change dc_i of the coefficients of a center, that of a product is dc_i x c_i + c_i x dc_i:
sums over the centers of a structure and over m, which are matrix products. A backward pass for each
displacement is not needed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.correlations.invariants import unordered_pairs
from multilode.expansion.sources import SourceExpansion, expand_sources
from multilode.representation.representation import Representation
from multilode.structures.batch import Structures

Terms = tuple[Float[Tensor, "row _"], ...]
_BLOCK_BYTES = 2e8  # of the slopes of all pairs of a block of structures


@final
@dataclass(frozen=True, eq=False, repr=False)
class _Moved:
    """Coefficients of a field around centers, and how they change.

    Args:
        values: of all atoms, columns (l, m).
        center: atom of each entry.
        place: what moves in each entry, a number within the structure.
        slopes: r changes of each entry.
        places: how many numbers of `place` there are.
    """

    values: Float[Tensor, "atom lm channel"]
    center: Int[Tensor, " entry"]
    place: Int[Tensor, " entry"]
    slopes: Float[Tensor, "entry lm r channel"]
    places: int


@final
@dataclass(frozen=True, eq=False, repr=False)
class _Slot:
    """Center atoms of a block of columns, with their places among those of their structure."""

    atoms: Int[Tensor, " center"]
    rank: Int[Tensor, " atom"]  # of any atom; -1 for those of other slots
    most: int


def has_pooled_slopes(representation: Representation) -> bool:
    """Whether the features are invariants of one or two fields, which `pooled_slopes` knows."""
    short = all(len(names) < 3 for names in representation.products)
    return short and representation.irreps is None


@torch.no_grad()
def pooled_slopes(
    representation: Representation,
    structures: Structures,
    slots: Sequence[Sequence[int]],
    *,
    along: Float[Tensor, "atom 3 direction"] | None = None,
) -> Terms:
    """Slopes of the features of structures, for each term, with blocks of columns per slot.

    Source: theory#force-rows.

    Args:
        representation: one that `has_pooled_slopes`.
        structures: a batch.
        slots: center species of each block of columns.
        along: displacements of all atoms; rows are then (structure, direction). By default rows are
            (atom, axis), the slopes along each coordinate.
    """
    parts = []
    for start, stop in _blocks(representation, structures):
        block = structures.select(torch.arange(start, stop))
        first = int(structures.counts[:start].sum())
        own = None if along is None else along[first : first + block.n_atoms]
        parts.append(_slopes_of_block(representation, block, slots, own))
    return tuple(torch.cat(columns) for columns in zip(*parts, strict=True))


@torch.no_grad()
def pooled_strains(
    representation: Representation, structures: Structures, slots: Sequence[Sequence[int]]
) -> Terms:
    """The same under a strain e_ab of atoms and cell: rows are (structure, a, b)."""
    parts = []
    for start, stop in _blocks(representation, structures):
        block = structures.select(torch.arange(start, stop))
        found = _expanded(representation, block, strains=True)
        moved = {name: _strained(own, block) for name, own in found.items()}
        everything = torch.arange(block.n_structures), torch.zeros(block.n_structures, dtype=int)
        parts.append(_multiplied(representation, block, slots, moved, everything))
    return tuple(torch.cat(columns) for columns in zip(*parts, strict=True))


def _blocks(representation: Representation, structures: Structures) -> list[tuple[int, int]]:
    """Limits of structures whose pairs fit into some memory, all of a similar size."""
    components = max((field.max_angular + 1) ** 2 for field in representation.fields.values())
    width = max(representation.widths.values())
    limits, start, most = [], 0, 0
    for number, count in enumerate(structures.counts.tolist()):
        larger = max(most, count)
        size = 8.0 * 3 * components * width * larger**2 * (number + 1 - start)
        if number > start and size > _BLOCK_BYTES:
            limits.append((start, number))
            start, larger = number, count
        most = larger
    return [*limits, (start, structures.n_structures)]


def _expanded(
    representation: Representation, structures: Structures, *, strains: bool
) -> dict[str, SourceExpansion]:
    used = {name for names in representation.products for name in names}
    found = {}
    for name, expansion in representation.fields.items():
        if name not in used:
            continue
        method = representation.method if expansion.neighbor_cutoff is None else "auto"
        found[name] = expand_sources(
            expansion,
            structures,
            strains=strains,
            method=method,
            tolerance=representation.tolerance,
        )
        found[name] = _mixed(representation, name, found[name], structures)
    return found


def _mixed(
    representation: Representation, name: str, sources: SourceExpansion, structures: Structures
) -> SourceExpansion:
    """In the channels of the field: columns (species, n), or mixtures of them."""
    n, lm = sources.values.shape[2], sources.values.shape[1]
    degrees = math.isqrt(lm)
    number = representation.widths[name]
    given = (representation.channels or {}).get(name)
    unit = torch.eye(number, dtype=sources.values.dtype) if given is None else None
    species = structures.species[sources.source]

    def mix(parts: Float[Tensor, "pair *r lm n"]) -> Float[Tensor, "pair *r lm channel"]:
        whole = parts.new_zeros((*parts.shape[:-1], number))
        for slot, kind in enumerate(representation.species):
            own = (species == kind).nonzero()[:, 0]
            some = parts[own]
            done = []
            for l in range(degrees):
                matrix = given.matrices[l] if given is not None else unit
                rows = matrix[slot * n : (slot + 1) * n].to(some)
                done.append(some[..., l * l : (l + 1) ** 2, :] @ rows)
            whole[own] = torch.cat(done, dim=-2)
        return whole

    return SourceExpansion(
        center=sources.center,
        source=sources.source,
        values=mix(sources.values),
        slopes=mix(sources.slopes),
        strains=None if sources.strains is None else mix(sources.strains),
    )


def _slopes_of_block(
    representation: Representation,
    block: Structures,
    slots: Sequence[Sequence[int]],
    along: Float[Tensor, "atom 3 direction"] | None,
) -> Terms:
    found = _expanded(representation, block, strains=False)
    if along is None:
        moved = {name: _each_atom(own, block) for name, own in found.items()}
        rows = block.structure_index, _places(block)
    else:
        moved = {name: _together(own, block, along) for name, own in found.items()}
        rows = torch.arange(block.n_structures), torch.zeros(block.n_structures, dtype=torch.int64)
    return _multiplied(representation, block, slots, moved, rows)


def _places(structures: Structures) -> Int[Tensor, " atom"]:
    """Number of each atom within its structure."""
    starts = structures.counts.cumsum(0) - structures.counts
    return torch.arange(structures.n_atoms) - starts[structures.structure_index]


def _summed(
    parts: Float[Tensor, "pair *_"], sources: SourceExpansion, n_atoms: int
) -> Float[Tensor, "atom *_"]:
    return parts.new_zeros((n_atoms, *parts.shape[1:])).index_add_(0, sources.center, parts)


def _each_atom(sources: SourceExpansion, block: Structures) -> _Moved:
    """Every coordinate by itself; a center that moves does so against all of its sources."""
    apart = (sources.center != sources.source).to(sources.slopes)
    slopes = (sources.slopes * apart[:, None, None, None]).transpose(1, 2)
    itself = (sources.center == sources.source).nonzero()[:, 0]
    slopes = slopes.contiguous()
    slopes[itself] = -_summed(slopes, sources, block.n_atoms)[sources.center[itself]]
    return _Moved(
        values=_summed(sources.values, sources, block.n_atoms),
        center=sources.center,
        place=_places(block)[sources.source],
        slopes=slopes,
        places=int(block.counts.max()),
    )


def _together(
    sources: SourceExpansion, block: Structures, along: Float[Tensor, "atom 3 direction"]
) -> _Moved:
    """All atoms of a structure at once, along some directions."""
    steps = (along[sources.source] - along[sources.center]).to(sources.slopes)
    slopes = torch.einsum("pxmq,pxk->pmkq", sources.slopes, steps)
    atoms = torch.arange(block.n_atoms)
    return _Moved(
        values=_summed(sources.values, sources, block.n_atoms),
        center=atoms,
        place=torch.zeros_like(atoms),
        slopes=_summed(slopes, sources, block.n_atoms),
        places=1,
    )


def _strained(sources: SourceExpansion, block: Structures) -> _Moved:
    """All atoms with the cell."""
    if sources.strains is None:
        raise ValueError("strains of the expansion were not asked for")
    atoms = torch.arange(block.n_atoms)
    slopes = _summed(sources.strains, sources, block.n_atoms).flatten(1, 2)
    return _Moved(
        values=_summed(sources.values, sources, block.n_atoms),
        center=atoms,
        place=torch.zeros_like(atoms),
        slopes=slopes.transpose(1, 2),
        places=1,
    )


def _multiplied(
    representation: Representation,
    block: Structures,
    slots: Sequence[Sequence[int]],
    moved: dict[str, _Moved],
    rows: tuple[Int[Tensor, " kept"], Int[Tensor, " kept"]],
) -> Terms:
    """Products of all terms, summed over the centers of each slot."""
    found: list[list[Tensor]] = [[] for _ in representation.products]
    for species in slots:
        slot = _slot(block, species)
        for k, names in enumerate(representation.products):
            if len(names) == 1:
                own = _padded(moved[names[0]], slot, block, 0)[rows[0], :, :, rows[1]]
                found[k].append(own.sum(dim=(1, 2)).flatten(0, 1))
            else:
                found[k].append(_product(moved[names[0]], moved[names[1]], slot, block, rows))
    return tuple(torch.cat(columns, dim=1) for columns in found)


def _product(
    left: _Moved,
    right: _Moved,
    slot: _Slot,
    block: Structures,
    rows: tuple[Int[Tensor, " kept"], Int[Tensor, " kept"]],
) -> Float[Tensor, "row feature"]:
    """d(c x c) of two fields, or of one with itself, in the order of `power_spectrum`."""
    degrees = range(math.isqrt(left.values.shape[1]))
    columns = []
    for l in degrees:
        first = _half(left, right, slot, block, l)[rows]  # [kept, r, p, q]
        if left is right:
            pairs, weights = unordered_pairs(first.shape[-1])
            whole = (first + first.transpose(-1, -2)).flatten(0, 1).flatten(1)
            whole = whole[:, pairs] * (weights / math.sqrt(2 * l + 1)).to(whole)
        else:
            second = _half(right, left, slot, block, l)[rows].transpose(-1, -2)
            whole = (first + second).flatten(0, 1).flatten(1) / math.sqrt(2 * l + 1)
        columns.append(whole)
    return torch.cat(columns, dim=1)


def _half(
    moving: _Moved, fixed: _Moved, slot: _Slot, block: Structures, l: int
) -> Float[Tensor, "structure place r p q"]:
    """The sum over centers and m of dc_p c_q."""
    slopes = _padded(moving, slot, block, l).flatten(1, 2)  # [structure, center m, place, r, p]
    values = fixed.values[:, l * l : (l + 1) ** 2]
    padded = values.new_zeros((block.n_structures, slot.most, *values.shape[1:]))
    padded[block.structure_index[slot.atoms], slot.rank[slot.atoms]] = values[slot.atoms]
    found = torch.bmm(slopes.flatten(2).transpose(1, 2), padded.flatten(1, 2))
    return found.unflatten(1, slopes.shape[2:])


def _padded(
    moved: _Moved, slot: _Slot, block: Structures, l: int
) -> Float[Tensor, "structure center m place r p"]:
    """Slopes of the centers of a slot, zeros where a structure has fewer than others."""
    own = (slot.rank[moved.center] >= 0).nonzero()[:, 0]
    center = moved.center[own]
    some = moved.slopes[own, l * l : (l + 1) ** 2]  # [entry, m, r, p]
    n, (m, r, p) = block.n_structures, some.shape[1:]
    whole = some.new_zeros((n, slot.most, m, moved.places, r, p))
    whole[block.structure_index[center], slot.rank[center], :, moved.place[own]] = some
    return whole


def _slot(block: Structures, species: Sequence[int]) -> _Slot:
    atoms = torch.isin(block.species, torch.tensor(species)).nonzero()[:, 0]
    index = block.structure_index[atoms]
    counts = torch.bincount(index, minlength=block.n_structures)
    rank = torch.full((block.n_atoms,), -1)
    rank[atoms] = torch.arange(len(atoms)) - (counts.cumsum(0) - counts)[index]
    return _Slot(atoms=atoms, rank=rank, most=int(counts.max()))
