"""The verb `expand`: coefficients of a field around each center, by any method."""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from multilode.data.inputs import Data, as_structures
from multilode.equivariants.blocks import Equivariants
from multilode.equivariants.labels import channel_labels, expansion_labels
from multilode.errors import renumber_errors
from multilode.expansion.accuracy import resolved_tolerance
from multilode.expansion.auto import choose_all
from multilode.expansion.center import add_center
from multilode.expansion.expansion import FieldExpansion
from multilode.expansion.method import AbstractMethod
from multilode.expansion.pairs.pair_sum import PairSum
from multilode.expansion.problem import Problem, Sources
from multilode.expansion.ranges import near_field, whole_field, whole_reach
from multilode.expansion.table import method_of
from multilode.numerics.modes import own_modes
from multilode.radial import orthonormalize
from multilode.structures.batch import Structures
from multilode.symmetry.irrep import Irrep


@own_modes()
def expand(
    expansion: FieldExpansion,
    structures: Data,
    *,
    species: tuple[int, ...] | None = None,
    strengths: Float[Tensor, "atom channel"] | None = None,
    centers: Int[Tensor, " center"] | None = None,
    method: AbstractMethod | str = "auto",
    tolerance: float | None = None,
) -> Equivariants:
    """Coefficients of a field around each center, in columns of channels and n.

    A channel is the field of a species, or of all atoms with the strengths of a column. All methods
    agree to the tolerance. The unit is that of the field times Å^(3/2), times that of a strength.

    Source: theory#coefficients; theory#strengths; Grisafi2019 Eq. 7; Grisafi2021 Eq. 8.

    Args:
        expansion: field and basis.
        structures: atoms whose field is expanded; a batch, a data set, or objects of ASE.
        species: atomic numbers of the neighbors, in the order of the channels; or else
        strengths: of each atom of the batch, a column per channel; positions may determine them.
        centers: atoms to expand around, ascending; all by default.
        method: "auto" (pairs under a cutoff, else the cheapest for each structure), a name in
            `METHODS`, or a method, maybe with settings of its own. Those that sum all atoms refuse
            a cutoff that leaves some out.
        tolerance: accuracy relative to the largest coefficient of each l; by default 1e-8, and
            1e-4 in single precision. A tolerance of the method itself comes first.

    Raises:
        StructureError: for a species that is not listed, or a structure that cannot be done.
        ValueError: for centers, strengths, a tolerance or a cutoff that it cannot honor.
        TypeError: if the method, the tolerance or the strengths are no such thing.
    """
    sources = _sources(species, strengths)
    problem, chosen = _posed(
        expansion, as_structures(structures), sources, centers, method, tolerance
    )
    blocks = _in_range(chosen, problem) if len(problem.centers) else _nothing(problem)
    return _labelled(blocks, species, problem)


def _sources(
    species: tuple[int, ...] | None, strengths: Float[Tensor, "atom channel"] | None
) -> Sources:
    """The one of them that is given."""
    if species is not None and strengths is None:
        return species
    if strengths is None or species is not None:
        given = "neither" if strengths is None else "both"
        raise ValueError(
            f"{given} of species and strengths is given; give species for one channel for each "
            "element, or strengths for channels of your own"
        )
    if not isinstance(strengths, Tensor):
        raise TypeError(
            f"strengths are {type(strengths).__name__}; give a tensor, one row for each atom: "
            "torch.as_tensor(strengths)"
        )
    return strengths


def _labelled(
    blocks: list[Float[Tensor, "center _ channel n"]],
    species: tuple[int, ...] | None,
    problem: Problem,
) -> Equivariants:
    """Blocks by irrep, columns by the species or the number of their channel."""
    n_channels, n_radial = blocks[0].shape[2:]
    irreps = [Irrep(l) for l in range(len(blocks))]
    flat = [block.flatten(start_dim=2) for block in blocks]
    labels = channel_labels(n_channels, n_radial)
    if species is not None:
        labels = expansion_labels(species, n_radial)
    labelled = dict.fromkeys(irreps, labels)
    return Equivariants(dict(zip(irreps, flat, strict=True)), labelled, problem.centers)


def _posed(
    expansion: FieldExpansion,
    structures: Structures,
    sources: Sources,
    centers: Int[Tensor, " center"] | None,
    method: AbstractMethod | str,
    tolerance: float | None,
) -> tuple[Problem, AbstractMethod | None]:
    """The border: arguments, checked once; no method means that each structure has its own."""
    dtype = structures.positions.dtype
    accuracy = resolved_tolerance(tolerance, dtype)
    problem = Problem.checked(expansion, structures, sources, centers, accuracy)
    chosen = method_of(method)
    if chosen is None:
        return problem, None
    if chosen.tolerance is not None:
        problem = replace(problem, tolerance=resolved_tolerance(chosen.tolerance, dtype))
    _check_cutoff(chosen, problem)
    _check_strengths(chosen, problem)
    return problem, chosen


def _check_cutoff(method: AbstractMethod, problem: Problem) -> None:
    """Refuse a cutoff that a sum over all atoms would ignore."""
    cutoff = problem.expansion.neighbor_cutoff
    if cutoff is None or method.honors_cutoff:
        return
    reach = whole_reach(problem.expansion, problem.tolerance)
    if reach is not None:
        weight = problem.expansion.cutoff_function(torch.tensor([reach]).double(), cutoff)
        if float(weight) == 1:  # it leaves no atom out
            return
    remedy = "leave out the cutoff"
    if reach is not None:
        remedy = f"let the cutoff function be 1 up to the reach of the field, {reach:.4g} Å"
    raise ValueError(
        f"{type(method).__name__} sums the field of all atoms, but the expansion has a "
        f"neighbor_cutoff of {cutoff:g} Å; use method auto or PairSum, or {remedy}"
    )


def _check_strengths(method: AbstractMethod, problem: Problem) -> None:
    """Refuse strengths that a sum over species would ignore."""
    if problem.strengths is not None and not method.takes_strengths:
        raise ValueError(
            f"{type(method).__name__} sums the atoms of each species, but strengths are given; "
            "give species, or use method auto or another method"
        )


def _in_range(
    method: AbstractMethod | None, problem: Problem
) -> list[Float[Tensor, "center m channel n"]]:
    """Near: a sum over pairs; far: the coefficients of all atoms less that."""
    expansion = problem.expansion
    if expansion.range == "all":
        return _all_atoms(method, problem)
    near = _weighted(PairSum(), replace(problem, expansion=near_field(expansion)))
    if expansion.range == "near":
        return near
    whole = _all_atoms(method, replace(problem, expansion=whole_field(expansion)))
    return [a - b for a, b in zip(whole, near, strict=True)]


def _all_atoms(
    method: AbstractMethod | None, problem: Problem
) -> list[Float[Tensor, "center m channel n"]]:
    """By one method, or each structure by the one that is best for it."""
    if method is None and problem.expansion.neighbor_cutoff is None:
        return _by_structure(problem)
    return _weighted(method or PairSum(), problem)  # neighbors of all structures at once


def _nothing(problem: Problem) -> list[Float[Tensor, "0 m channel n"]]:
    """The coefficients of no centers."""
    expansion, l_max = problem.expansion, problem.expansion.max_angular
    n_radial = orthonormalize(expansion.basis, l_max).values.shape[1]
    sizes = [(0, 2 * l + 1, problem.n_channels, n_radial) for l in range(l_max + 1)]
    return [problem.structures.positions.new_zeros(size) for size in sizes]


def _by_structure(problem: Problem) -> list[Float[Tensor, "center m channel n"]]:
    """Each method does the structures that are best done by it, all at once."""
    structures, centers = problem.structures, problem.centers
    # crystals by themselves: what others need does not change their numbers
    methods = list(zip(choose_all(problem), structures.pbc.all(dim=1).tolist(), strict=True))
    different = list(dict.fromkeys(methods))
    if len(different) == 1:
        return _weighted(different[0][0], problem)
    number = torch.tensor([different.index(m) for m in methods], device=centers.device)
    parts, places = [], []
    for index, (method, _) in enumerate(different):
        chosen = number == index
        here = chosen[structures.structure_index]
        place = here.cumsum(0) - 1  # of an atom within the sub-batch
        mine = here[centers]
        members = chosen.nonzero().flatten()
        with renumber_errors(members.tolist()):
            subset = structures.select(members)
            part = _part(problem, subset, here, place[centers[mine]])
            parts.append(_weighted(method, part))
        places.append(mine.nonzero().flatten())
    back = torch.argsort(torch.cat(places))
    return [torch.cat(blocks)[back] for blocks in zip(*parts, strict=True)]


def _part(
    problem: Problem,
    subset: Structures,
    atoms: Bool[Tensor, " atom"],
    centers: Int[Tensor, " center"],
) -> Problem:
    """The problem of some structures, whose atoms these are."""
    strengths = None if problem.strengths is None else problem.strengths[atoms]
    return replace(problem, structures=subset, centers=centers, strengths=strengths)


def _weighted(
    method: AbstractMethod, problem: Problem
) -> list[Float[Tensor, "center m channel n"]]:
    """Coefficients of a method, with the center's own field at its weight."""
    blocks = method.coefficients(problem)
    missing = problem.expansion.center_weight - float(method.includes_center)
    return blocks if missing == 0 else add_center(blocks, problem, missing)
