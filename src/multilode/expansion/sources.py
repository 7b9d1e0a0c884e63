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

from multilode.errors import blame_structure
from multilode.expansion.accuracy import resolved_tolerance
from multilode.expansion.expansion import FieldExpansion
from multilode.expansion.pairs.pair_sum import check_apart
from multilode.expansion.problem import Problem
from multilode.expansion.ranges import near_field, whole_field, whole_reach
from multilode.expansion.verb import expand
from multilode.numerics.modes import own_modes
from multilode.radial.tables import real_table
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


@own_modes(gradients=True)
def expand_sources(
    expansion: FieldExpansion,
    structures: Structures,
    *,
    strains: bool = False,
    method: str = "auto",
    tolerance: float | None = None,
) -> SourceExpansion:
    """The field of every single atom around every atom of its structure, with slopes.

    Fields that end, and all fields of molecules, are evaluated pair by pair. The others depend on
    differences of positions alone: those of one source at the origin are evaluated around all
    differences at once.

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
    if expansion.range == "near":
        return _by_pairs(near_field(expansion), fixed, accuracy, strains=strains)
    if expansion.range == "far":
        whole = _whole(whole_field(expansion), fixed, method, tolerance, strains=strains)
        near = _by_pairs(near_field(expansion), fixed, accuracy, strains=strains)
        return _added(whole, near, -1.0, structures.n_atoms)
    return _whole(expansion, fixed, method, tolerance, strains=strains)


def _whole(
    expansion: FieldExpansion,
    structures: Structures,
    method: str,
    tolerance: float | None,
    *,
    strains: bool,
) -> SourceExpansion:
    """Of all atoms: pair by pair where that ends, else structure by structure."""
    accuracy = resolved_tolerance(tolerance, structures.positions.dtype)
    ends = expansion.neighbor_cutoff is not None
    ends = ends or whole_reach(expansion, accuracy) is not None
    if ends or not bool(structures.pbc.any()):
        return _by_pairs(expansion, structures, accuracy, strains=strains)
    found, start = [], 0
    for index in range(structures.n_structures):
        one = structures[index]
        with blame_structure(index):
            if bool(one.pbc.any()):
                part = _by_differences(expansion, one, method, tolerance, strains=strains)
                part = _with_own_weight(part, expansion, accuracy)
            else:
                part = _by_pairs(expansion, one, accuracy, strains=strains)
        found.append(replace(part, center=part.center + start, source=part.source + start))
        start += one.n_atoms
    return SourceExpansion(
        center=torch.cat([part.center for part in found]),
        source=torch.cat([part.source for part in found]),
        values=torch.cat([part.values for part in found]),
        slopes=torch.cat([part.slopes for part in found]),
        strains=torch.cat([part.strains for part in found]) if strains else None,
    )


def _by_pairs(
    expansion: FieldExpansion, structures: Structures, tolerance: float, *, strains: bool
) -> SourceExpansion:
    species = tuple(structures.species.unique().tolist())
    problem = Problem.checked(expansion, structures, species, None, tolerance)
    reach = expansion.neighbor_cutoff
    if reach is None:
        reach = whole_reach(expansion, tolerance)
    return _pair_by_pair(problem, reach, strains=strains)


def _with_own_weight(
    found: SourceExpansion, expansion: FieldExpansion, tolerance: float
) -> SourceExpansion:
    """The field of a center itself, which is there once, at its weight."""
    missing = expansion.center_weight - 1
    if missing == 0:
        return found
    table = real_table(expansion.field, expansion.basis, expansion.max_angular, None, tolerance)
    values = found.values.clone()
    own = table.origin.to(values) * missing / math.sqrt(4 * math.pi)
    values[found.center == found.source, 0] += own
    return replace(found, values=values)


def _added(
    first: SourceExpansion, second: SourceExpansion, factor: float, n_atoms: int
) -> SourceExpansion:
    """One and a multiple of another, whose pairs are united."""
    key = torch.cat([p.center * n_atoms + p.source for p in (first, second)])
    found, place = key.unique(return_inverse=True)

    def added(a: Tensor, b: Tensor) -> Tensor:
        sums = a.new_zeros((len(found), *a.shape[1:])).index_add_(0, place[: len(a)], a)
        return sums.index_add_(0, place[len(a) :], b * factor)

    a, b = first.strains, second.strains
    return SourceExpansion(
        center=found // n_atoms,
        source=found % n_atoms,
        values=added(first.values, second.values),
        slopes=added(first.slopes, second.slopes),
        strains=None if a is None or b is None else added(a, b),
    )


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


def _by_differences(
    expansion: FieldExpansion,
    structures: Structures,
    method: str,
    tolerance: float | None,
    *,
    strains: bool,
) -> SourceExpansion:
    """The field of one source at the origin, around all differences of positions.

    One of each two opposite differences suffices: harmonics of degree l have the parity (-1)^l.
    """
    n_atoms, device = structures.n_atoms, structures.positions.device
    first, second = torch.triu_indices(n_atoms, n_atoms, offset=1, device=device)
    apart = structures.positions[first] - structures.positions[second]
    step = apart.new_zeros(3).requires_grad_()
    strain = torch.zeros_like(structures.cell[0]).requires_grad_(strains)
    around = _around_origin(structures, torch.cat([apart, apart.new_zeros(1, 3)]) + step, strain)
    strengths = apart.new_zeros(around.n_atoms, 1)
    strengths[0] = 1
    found = expand(
        replace(expansion, center_weight=1.0),
        around,
        strengths=strengths,
        centers=torch.arange(1, around.n_atoms, device=device),
        method=method,
        tolerance=tolerance,
    )
    values = torch.cat(list(found.blocks.values()), dim=1)
    slopes, *rest = _slopes(values, (step, strain) if strains else (step,))
    slopes[-1] = 0  # an atom does not move away from itself
    strained = rest[0].unflatten(1, (3, 3)) if strains else None
    both = _Both(expansion.max_angular, first, second, n_atoms)
    return SourceExpansion(
        center=torch.arange(n_atoms, device=device).repeat_interleave(n_atoms),
        source=torch.arange(n_atoms, device=device).repeat(n_atoms),
        values=both.of(values.detach(), odd_in_distance=False),
        slopes=both.of(-slopes, odd_in_distance=True),
        strains=None if strained is None else both.of(strained, odd_in_distance=False),
    )


def _slopes(
    values: Float[Tensor, "half_and_one lm n"], variables: tuple[Tensor, ...]
) -> list[Float[Tensor, "half_and_one _ lm n"]]:
    """Slopes of all values in the numbers of each variable, side by side."""
    dual = torch.zeros_like(values).requires_grad_()
    adjoints = torch.autograd.grad(values, variables, dual, create_graph=True)
    return [torch.stack([_transposed(a, dual) for a in x.flatten()], dim=1) for x in adjoints]


def _around_origin(
    structures: Structures, places: Float[Tensor, "place 3"], strain: Float[Tensor, "3 3"]
) -> Structures:
    """An atom at the origin and one at each place, in the cell of a structure, all strained."""
    positions = torch.cat([places.new_zeros(1, 3), places])
    moving = strain.requires_grad
    return Structures(
        positions=positions + positions @ strain if moving else positions,
        species=torch.ones(len(positions), dtype=torch.int64, device=positions.device),
        cell=structures.cell + structures.cell @ strain if moving else structures.cell,
        pbc=structures.pbc,
        structure_index=torch.zeros(len(positions), dtype=torch.int64, device=positions.device),
    )


@final
@dataclass(frozen=True)
class _Both:
    """From one of each two opposite pairs, and an atom with itself, to all pairs."""

    max_angular: int
    first: Int[Tensor, " half"]
    second: Int[Tensor, " half"]
    n_atoms: int

    def of(
        self, parts: Float[Tensor, "half_and_one *_ lm n"], *, odd_in_distance: bool
    ) -> Float[Tensor, "pair *_ lm n"]:
        """Parts of the pairs (first, second), then that of an atom with itself."""
        degrees = [l for l in range(self.max_angular + 1) for _ in range(2 * l + 1)]
        signs = parts.new_tensor([(-1.0) ** (l + odd_in_distance) for l in degrees])[:, None]
        everywhere = parts.new_empty((self.n_atoms, self.n_atoms, *parts.shape[1:]))
        everywhere[self.first, self.second] = parts[:-1]
        everywhere[self.second, self.first] = parts[:-1] * signs
        atoms = torch.arange(self.n_atoms, device=parts.device)
        everywhere[atoms, atoms] = parts[-1]
        return everywhere.flatten(end_dim=1)
