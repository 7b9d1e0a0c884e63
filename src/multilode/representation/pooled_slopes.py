"""Slopes of features that are summed over centers, for all displacements at once.

With the change dc_i of the coefficients of a center, that of a product is dc_i x c_i + c_i x dc_i:
sums over the centers of a structure and over m, which are matrix products. A backward pass for each
displacement is not needed.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.correlations.invariants import unordered_pairs
from multilode.expansion.sources import SourceExpansion, expand_sources
from multilode.representation.moved_fields import (
    EachAtom,
    Moved,
    Together,
    of_each_atom,
    of_strains,
    together,
)
from multilode.representation.representation import Representation
from multilode.structures.batch import Structures

Terms = tuple[Float[Tensor, "row _"], ...]
_BLOCK_BYTES = 1e8  # of the slopes of all pairs of a block of structures, of one field


def has_pooled_slopes(representation: Representation) -> bool:
    """Whether the features are invariants of one or two fields of species: `pooled_slopes`."""
    short = all(len(names) < 3 for names in representation.products)
    return short and representation.irreps is None and representation.has_fixed_species


def block_bytes(representation: Representation, most_atoms: int) -> float:
    """Memory that the slopes of structures of so many atoms take, beside the rows themselves."""
    largest = max(_pair_bytes(representation, name) for name in representation.used)
    one = largest * most_atoms**2
    return 3 * len(representation.used) * max(one, min(_BLOCK_BYTES, 50 * one))


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
    parts, first, species = [], 0, representation.species
    for start, stop in _blocks(representation, structures):
        block = structures.select(torch.arange(start, stop))
        moved: dict[str, Moved] = {}
        for name in representation.used:
            found = _sources(representation, name, block, strains=False)
            if along is None:
                moved[name] = of_each_atom(found, block, species, representation.channels_of(name))
            else:
                own = along[first : first + block.n_atoms]
                mixtures = representation.channels_of(name)
                moved[name] = together(found, block, species, mixtures, own)
        parts.append(_multiplied(representation, slots, moved))
        first += block.n_atoms
    return tuple(torch.cat(columns) for columns in zip(*parts, strict=True))


@torch.no_grad()
def pooled_strains(
    representation: Representation, structures: Structures, slots: Sequence[Sequence[int]]
) -> Terms:
    """The same under a strain e_ab of atoms and cell: rows are (structure, a, b).

    Source: theory#gradients.
    """
    parts = []
    for start, stop in _blocks(representation, structures):
        block = structures.select(torch.arange(start, stop))
        moved: dict[str, Moved] = {}
        for name in representation.used:
            found = _sources(representation, name, block, strains=True)
            moved[name] = of_strains(
                found, block, representation.species, representation.channels_of(name)
            )
        parts.append(_multiplied(representation, slots, moved))
    return tuple(torch.cat(columns) for columns in zip(*parts, strict=True))


def _sources(
    representation: Representation, name: str, structures: Structures, *, strains: bool
) -> SourceExpansion:
    expansion = representation.fields[name]
    return expand_sources(
        expansion,
        structures,
        strains=strains,
        method=representation.method if expansion.neighbor_cutoff is None else "auto",
        tolerance=representation.tolerance,
    )


def _pair_bytes(representation: Representation, name: str) -> float:
    """Of the slopes of one pair of atoms."""
    field = representation.fields[name]
    return 8.0 * 3 * (field.max_angular + 1) ** 2 * field.basis.n_radial


def _blocks(representation: Representation, structures: Structures) -> list[tuple[int, int]]:
    """Limits of structures whose pairs fit into some memory, all of a similar size."""
    largest = max(_pair_bytes(representation, name) for name in representation.used)
    limits, start, most = [], 0, 0
    for number, count in enumerate(structures.counts.tolist()):
        larger = max(most, count)
        size = largest * larger**2 * (number + 1 - start)
        if number > start and size > _BLOCK_BYTES:
            limits.append((start, number))
            start, larger = number, count
        most = larger
    return [*limits, (start, structures.n_structures)]


def _multiplied(
    representation: Representation, slots: Sequence[Sequence[int]], moved: dict[str, Moved]
) -> Terms:
    """Products of all terms, summed over the centers of each slot."""
    found: list[list[Tensor]] = [[] for _ in representation.products]
    for species in slots:
        padded = {name: own.of_slot(species) for name, own in moved.items()}
        for k, names in enumerate(representation.products):
            if len(names) == 1:
                found[k].append(padded[names[0]].alone())
            else:
                found[k].extend(_product(padded[names[0]], padded[names[1]]))
    return tuple(torch.cat(columns, dim=1) for columns in found)


def _product(left: EachAtom | Together, right: EachAtom | Together) -> list[Tensor]:
    """d(c x c) of two fields, or of one with itself, in the order of `power_spectrum`."""
    columns = []
    for l in range(left.degrees):
        first = left.times(right, l)  # [row, p, q]
        if left is right:
            pairs, weights = unordered_pairs(first.shape[-1])
            whole = (first + first.mT).flatten(1).index_select(1, pairs.to(first.device))
            whole *= (weights / math.sqrt(2 * l + 1)).to(whole)
        else:
            whole = (first + right.times(left, l).mT).flatten(1)
            whole /= math.sqrt(2 * l + 1)
        columns.append(whole)
    return columns
