"""The verb `expand`, and the choice of a method for each structure."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.equivariants.blocks import Equivariants
from multilode.equivariants.labels import expansion_labels
from multilode.errors import StructureError, numbered
from multilode.expansion.accuracy import resolved_tolerance
from multilode.expansion.auto import Method, choose_all
from multilode.expansion.ewald_split import EwaldSplit
from multilode.expansion.expansion import FieldExpansion
from multilode.expansion.lattice.reciprocal_sum import ReciprocalSum
from multilode.expansion.mesh.method import Mesh
from multilode.expansion.pairs.pair_sum import PairSum
from multilode.expansion.ranges import near_field, whole_field
from multilode.fields.field import trainable
from multilode.radial import orthonormalize
from multilode.radial.tables import real_table
from multilode.structures.batch import Structures
from multilode.symmetry.irrep import Irrep

METHODS = {
    "pair_sum": PairSum,
    "reciprocal_sum": ReciprocalSum,
    "ewald_split": EwaldSplit,
    "mesh": Mesh,
}
_NO_SLOPE = 1e-9  # distance in p from where the finite part of a lattice sum jumps
_NAMES = ", ".join(["auto", *METHODS])


def expand(
    expansion: FieldExpansion,
    structures: Structures,
    *,
    species: tuple[int, ...],
    centers: Int[Tensor, " center"] | None = None,
    method: Method | str = "auto",
    tolerance: float | None = None,
) -> Equivariants:
    """Coefficients of a field around each center, one channel per neighbor species and n.

    An expansion with a cutoff is summed over pairs. Without one, each structure is done by the
    method that should be cheapest for its size, periodicity and smearing: a sum over pairs or over
    waves, an Ewald split, or a mesh; a batch may need several. All agree to the tolerance. The unit
    is that of the field times Å^(3/2). Source: 2019 Eq. 7, 2021 Eq. 8.

    Args:
        expansion: field and basis.
        structures: what to expand.
        species: atomic numbers of the neighbors, in the order of the channels.
        centers: atoms to expand around, ascending; all by default.
        method: "auto", a name in `METHODS` (for expansions without a cutoff; those with one are
            always summed over pairs), or a method with settings of its own, which is used as it is:
            sums over waves, meshes and splits know no cutoff.
        tolerance: accuracy relative to the largest coefficient of each l; by default 1e-8, and
            1e-4 in single precision. A method with settings of its own has its own.

    Raises:
        StructureError: for a species that is not listed, a structure that the method cannot do, or
            an exponent to be differentiated that equals its number of periodic axes.
        ValueError: for centers that do not ascend, or a tolerance that the method cannot meet.
        TypeError: if the method is no method, or the tolerance no number.
    """
    device = structures.positions.device
    kinds = torch.tensor(sorted(species), dtype=torch.int64, device=device)
    if len(set(species)) != len(species) or list(species) != sorted(species):
        raise ValueError(f"species must ascend without repetition, got {species}")
    _check_species(structures, kinds)
    _check_slope(expansion, structures)
    if centers is None:
        centers = torch.arange(structures.n_atoms, device=device)
    elif len(centers) and (
        int(centers[0]) < 0
        or int(centers[-1]) >= structures.n_atoms
        or bool((centers.diff() <= 0).any())
    ):
        raise ValueError(
            f"centers must be atoms of the batch, 0 to {structures.n_atoms - 1}, ascending and "
            "without repetition"
        )
    accuracy = resolved_tolerance(tolerance, structures.positions.dtype)
    chosen = _method(method, expansion, accuracy)
    if len(centers):
        blocks = _in_range(chosen, accuracy, expansion, structures, kinds, centers)
    else:
        blocks = _nothing(expansion, structures, len(kinds))
    n_radial = blocks[0].shape[3]
    labels = expansion_labels(species, n_radial)
    irreps = [Irrep(l) for l in range(expansion.max_angular + 1)]
    return Equivariants(
        {irrep: block.flatten(start_dim=2) for irrep, block in zip(irreps, blocks, strict=True)},
        dict.fromkeys(irreps, labels),
        centers,
    )


def check_method(name: object) -> None:
    """Check that a method has this name.

    Raises:
        TypeError: if it is no name.
        ValueError: if no method has it.
    """
    if not isinstance(name, str):
        given = f"the class {name.__name__}" if isinstance(name, type) else repr(name)
        raise TypeError(f"method is {given}; give a name: {_NAMES}")
    if name != "auto" and name not in METHODS:
        raise ValueError(f"method is '{name}'; choose among {_NAMES}")


def _method(method: Method | str, expansion: FieldExpansion, tolerance: float) -> Method | None:
    """None means that each structure has its own."""
    if isinstance(method, tuple(METHODS.values())):
        return method
    if isinstance(method, type) and method in METHODS.values():
        raise TypeError(
            f"method is the class {method.__name__}; give an instance, {method.__name__}(...)"
        )
    check_method(method)
    if expansion.neighbor_cutoff is not None:
        return PairSum(tolerance)
    return None if method == "auto" else METHODS[method](tolerance)


def _check_species(structures: Structures, kinds: Int[Tensor, " species"]) -> None:
    unknown = ~torch.isin(structures.species, kinds)
    if bool(unknown.any()):
        atom = int(unknown.nonzero()[0])
        raise StructureError(
            f"contains atomic number {int(structures.species[atom])}, which is not among the "
            f"species {kinds.tolist()}; train on data that contain it, or leave the structure out",
            int(structures.structure_index[atom]),
        )


def _check_slope(expansion: FieldExpansion, structures: Structures) -> None:
    """Where a lattice sum begins to converge, its finite part jumps and has no slope in p."""
    summed = expansion.neighbor_cutoff is None and expansion.range != "near"
    if not (summed and torch.is_grad_enabled() and "exponent" in trainable(expansion.field)):
        return
    periods = structures.pbc.sum(dim=1)
    there = (periods - expansion.field.decay).abs() < _NO_SLOPE
    if bool(there.any()):
        structure = int(there.nonzero()[0])
        raise StructureError(
            f"the exponent is {expansion.field.decay:.12g}, the number of its periodic axes, where "
            "the lattice sum has no derivative with respect to the exponent; move the exponent "
            "away from there, or do not differentiate it",
            structure,
        )


def _in_range(
    method: Method | None,
    tolerance: float,
    expansion: FieldExpansion,
    structures: Structures,
    kinds: Int[Tensor, " species"],
    centers: Int[Tensor, " center"],
) -> list[Float[Tensor, "center m species n"]]:
    """Near: a sum over pairs; far: what the method makes of all atoms, less that."""
    near = None
    if expansion.range != "all":
        pairs = PairSum(tolerance if method is None else method.tolerance)
        near = _with_own(pairs, near_field(expansion), structures, kinds, centers)
        if expansion.range == "near":
            return near
        expansion = whole_field(expansion)
    if method is None:
        blocks = _by_structure(expansion, tolerance, structures, kinds, centers)
    else:
        blocks = _with_own(method, expansion, structures, kinds, centers)
    return blocks if near is None else [a - b for a, b in zip(blocks, near, strict=True)]


def _nothing(
    expansion: FieldExpansion, structures: Structures, n_species: int
) -> list[Float[Tensor, "0 m species n"]]:
    """What every method would make of no centers."""
    n_radial = orthonormalize(expansion.radial, expansion.max_angular).values.shape[1]
    sizes = [(0, 2 * l + 1, n_species, n_radial) for l in range(expansion.max_angular + 1)]
    return [structures.positions.new_zeros(size) for size in sizes]


def _by_structure(
    expansion: FieldExpansion,
    tolerance: float,
    structures: Structures,
    kinds: Int[Tensor, " species"],
    centers: Int[Tensor, " center"],
) -> list[Float[Tensor, "center m species n"]]:
    """Each method does the structures that are best done by it, all at once."""
    chosen_methods = choose_all(expansion, tolerance, structures, len(kinds))
    # crystals by themselves: what others need does not change their numbers
    methods = list(zip(chosen_methods, structures.pbc.all(dim=1).tolist(), strict=True))
    different = list(dict.fromkeys(methods))
    if len(different) == 1:
        return _with_own(different[0][0], expansion, structures, kinds, centers)
    number = torch.tensor([different.index(m) for m in methods], device=centers.device)
    parts, places = [], []
    for index, (method, _) in enumerate(different):
        chosen = number == index
        here = chosen[structures.structure_index]
        place = here.cumsum(0) - 1  # of an atom within the sub-batch
        mine = here[centers]
        members = chosen.nonzero().flatten()
        with numbered(members.tolist()):
            subset = structures.select(members)
            parts.append(_with_own(method, expansion, subset, kinds, place[centers[mine]]))
        places.append(mine.nonzero().flatten())
    back = torch.argsort(torch.cat(places))
    return [torch.cat(blocks)[back] for blocks in zip(*parts, strict=True)]


def _with_own(
    method: Method,
    expansion: FieldExpansion,
    structures: Structures,
    kinds: Int[Tensor, " species"],
    centers: Int[Tensor, " center"],
) -> list[Float[Tensor, "center m species n"]]:
    """Set the weight of the center's own field, which reaches l = 0 alone."""
    blocks = method.coefficients(expansion, structures, kinds, centers)
    present = 0.0 if isinstance(method, PairSum) else 1.0
    missing = expansion.center_weight - present
    if missing == 0:
        return blocks
    table = real_table(
        expansion.field,
        expansion.radial,
        expansion.max_angular,
        expansion.neighbor_cutoff,
        method.tolerance,
    )
    own = table.origin.to(structures.positions) * (missing / math.sqrt(4 * math.pi))
    kind = torch.searchsorted(kinds, structures.species[centers])
    chosen = torch.nn.functional.one_hot(kind, len(kinds)).to(own.dtype)
    blocks[0] = blocks[0] + chosen[:, None, :, None] * own
    return blocks
