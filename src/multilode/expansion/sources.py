"""Coefficients atom by atom: what each source adds around each center, and how it changes.

A field is a sum over sources, c_i = sum_j q_j f(r_j - r_i). With the f of all pairs and their
slopes at hand, coefficients for any strengths q and their derivatives are matrix products: what
fits to forces, and networks that learn strengths, do many times for the same structures.
"""

import math
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.expansion.accuracy import resolved_tolerance
from multilode.expansion.expansion import FieldExpansion
from multilode.expansion.pairs.pair_sum import check_apart
from multilode.expansion.problem import Problem
from multilode.expansion.ranges import whole_reach
from multilode.expansion.verb import expand
from multilode.structures.batch import Structures
from multilode.structures.neighbors import Pairs, all_pairs, pairs_within
from multilode.symmetry.harmonics import spherical_harmonics


@final
@dataclass(frozen=True, eq=False, repr=False)
class SourceExpansion:
    """f_ij of every pair of a center i and a source j that matters, ascending by center, source.

    Displacements d of atoms change it by slopes . (d_j - d_i): a source and its center move apart.

    Args:
        center: atom at the center, of each pair.
        source: atom whose field it is, together with all of its periodic images.
        values: f_ij, columns (l, m) side by side.
        slopes: its change per Å that the source moves away from the center, along x, y and z.
        strains: its change under a strain e_ab of atoms and cell, r -> r + r e; None if they were
            not asked for.
    """

    center: Int[Tensor, " pair"]
    source: Int[Tensor, " pair"]
    values: Float[Tensor, "pair lm n"]
    slopes: Float[Tensor, "pair 3 lm n"]
    strains: Float[Tensor, "pair 3 3 lm n"] | None = None

    def __repr__(self) -> str:
        pairs, components, radial = self.values.shape
        return f"SourceExpansion({pairs} pairs, {components} components, {radial} radial functions)"


@torch.enable_grad()
def expand_sources(
    expansion: FieldExpansion,
    structures: Structures,
    *,
    strains: bool = False,
    method: str = "auto",
    tolerance: float | None = None,
) -> SourceExpansion:
    """The field of every single atom around every atom of its structure, with slopes.

    Fields that end, and all fields of molecules, are evaluated pair by pair. Else each atom gets a
    channel of its own; slopes are derivatives of all coefficients as atom j of a structure moves by
    j: dividing those of a pair by j - i leaves the slope of f_ij.

    Source: theory#coefficients.

    Args:
        expansion: field and basis.
        structures: a batch; memory grows with the square of the atoms of a structure.
        strains: whether to differentiate in strain as well.
        method: of a field without a cutoff around centers of periodic structures.
        tolerance: of the coefficients, as in `expand`.

    Raises:
        StructureError: if two atoms are in the same place.
    """
    accuracy = resolved_tolerance(tolerance, structures.positions.dtype)
    fixed = replace(
        structures, positions=structures.positions.detach(), cell=structures.cell.detach()
    )
    reach = expansion.neighbor_cutoff
    if reach is None and expansion.range == "all":
        reach = whole_reach(expansion, accuracy)
    by_pairs = reach is not None or not bool(structures.pbc.any())
    if expansion.range == "all" and by_pairs:
        species = tuple(structures.species.unique().tolist())
        problem = Problem.checked(expansion, fixed, species, None, accuracy)
        return _pair_by_pair(problem, reach, strains=strains)
    return _by_channels(expansion, fixed, method, tolerance, strains=strains)


def _pair_by_pair(problem: Problem, reach: float | None, *, strains: bool) -> SourceExpansion:
    """Radial functions times harmonics of each pair; images of a source are added up."""
    structures, expansion = problem.structures, problem.expansion
    if reach is None:
        everywhere = torch.ones(structures.n_structures, dtype=torch.bool)
        pairs = all_pairs(structures, everywhere.to(structures.pbc.device))
    else:
        pairs = pairs_within(structures, reach)
    vectors = pairs.vectors(structures).requires_grad_()
    distances = torch.linalg.vector_norm(vectors, dim=1)
    check_apart(distances.detach(), pairs, structures)
    table = problem.pair_integrals()
    radial = table(distances)
    if expansion.neighbor_cutoff is not None:
        weight = expansion.cutoff_function(distances, expansion.neighbor_cutoff)
        radial = radial * weight[:, None, None]
    degrees = [l for l in range(expansion.max_angular + 1) for _ in range(2 * l + 1)]
    harmonics = spherical_harmonics(vectors, expansion.max_angular)
    values = radial[:, degrees] * harmonics[:, :, None]
    dual = torch.zeros_like(values).requires_grad_()
    (adjoint,) = torch.autograd.grad(values, vectors, dual, create_graph=True)
    slopes = torch.stack([_transposed(adjoint[:, a].sum(), dual) for a in range(3)], dim=1)
    moved = None
    if strains:
        moved = vectors.detach()[:, :, None, None, None] * slopes[:, None]
    return _by_source(problem, pairs, values.detach(), slopes, moved)


def _transposed(adjoint: Float[Tensor, ""], dual: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The slope of values, from an adjoint that is linear in what it was applied to."""
    return torch.autograd.grad(adjoint, dual, retain_graph=True)[0]


def _by_source(
    problem: Problem,
    pairs: Pairs,
    values: Float[Tensor, "pair lm n"],
    slopes: Float[Tensor, "pair 3 lm n"],
    strains: Float[Tensor, "pair 3 3 lm n"] | None,
) -> SourceExpansion:
    """Images of a source added up, and the center's own field with its weight."""
    structures = problem.structures
    n_atoms, device = structures.n_atoms, values.device
    atoms = torch.arange(n_atoms, device=device)
    key = torch.cat([pairs.center * n_atoms + pairs.neighbor, atoms * (n_atoms + 1)])
    found, place = key.unique(return_inverse=True)

    def added(parts: Tensor) -> Tensor:
        sums = parts.new_zeros((len(found), *parts.shape[1:]))
        return sums.index_add_(0, place[: len(parts)], parts)

    total = added(values)
    own = problem.pair_integrals().origin.to(total)
    total[place[len(values) :], 0] += own * problem.expansion.center_weight / math.sqrt(4 * math.pi)
    return SourceExpansion(
        center=found // n_atoms,
        source=found % n_atoms,
        values=total,
        slopes=added(slopes),
        strains=None if strains is None else added(strains),
    )


def _by_channels(
    expansion: FieldExpansion,
    structures: Structures,
    method: str,
    tolerance: float | None,
    *,
    strains: bool,
) -> SourceExpansion:
    """Each atom of a structure as a channel of its own, by any method."""
    counts = structures.counts
    starts = counts.cumsum(0) - counts
    place = (
        torch.arange(structures.n_atoms, device=counts.device) - starts[structures.structure_index]
    )
    most, positions = int(counts.max()), structures.positions
    step = positions.new_zeros(3).requires_grad_()
    strain = torch.zeros_like(structures.cell).requires_grad_(strains)
    moved = positions + place[:, None].to(positions) * step
    shifts = torch.einsum("ax,axy->ay", moved, strain[structures.structure_index])
    numbered = replace(
        structures,
        positions=moved + shifts if strains else moved,
        cell=structures.cell + structures.cell @ strain if strains else structures.cell,
        species=place + 1,
    )
    channels = tuple(range(1, most + 1))
    found = expand(expansion, numbered, species=channels, method=method, tolerance=tolerance)
    blocks = [block.unflatten(2, (most, -1)) for block in found.blocks.values()]
    values = torch.cat(blocks, dim=1).transpose(1, 2)  # [center, source, lm, n]
    dual = torch.zeros_like(values).requires_grad_()
    wanted = (step, strain) if strains else (step,)
    adjoints = torch.autograd.grad(values, wanted, dual, create_graph=True)
    apart = torch.arange(most, device=counts.device) - place[:, None]
    apart = torch.where(apart == 0, torch.inf, apart.to(values))[:, :, None, None]
    slopes = torch.stack([_transposed(a, dual) / apart for a in adjoints[0]], dim=2)
    own = torch.arange(most, device=counts.device) < counts[structures.structure_index][:, None]
    center, source = own.nonzero(as_tuple=True)
    strained = None
    if strains:
        parts = [_transposed(a.sum(), dual) for a in adjoints[1].flatten(1).T]
        strained = torch.stack(parts, dim=2).unflatten(2, (3, 3))[own]
    return SourceExpansion(
        center=center,
        source=source + starts[structures.structure_index][center],
        values=values.detach()[own],
        slopes=slopes[own],
        strains=strained,
    )
