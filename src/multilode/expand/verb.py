"""The verb `expand`, and the choice of a method for each structure."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.equivariants import Equivariants, Irrep, expansion_labels
from multilode.expand.expansion import FieldExpansion
from multilode.expand.pair_sum import PairSum
from multilode.expand.ranges import near_field, whole_field
from multilode.expand.reciprocal_sum import ReciprocalSum
from multilode.radial_integrals import real_table
from multilode.structures import Structures

METHODS = {"pair_sum": PairSum, "reciprocal_sum": ReciprocalSum}
Method = PairSum | ReciprocalSum


def expand(
    expansion: FieldExpansion,
    structures: Structures,
    *,
    species: tuple[int, ...],
    centers: Int[Tensor, " center"] | None = None,
    method: Method | None = None,
) -> Equivariants:
    """Coefficients of a field around each center, one channel per neighbor species and n.

    By default an expansion with a cutoff, and every isolated structure, is summed over pairs, and a
    crystal without cutoff in reciprocal space; a batch may hold both. The unit is that of the
    field times Å^(3/2). Source: 2019 Eq. 7, 2021 Eq. 8.

    Args:
        expansion: field and basis.
        structures: what to expand.
        species: atomic numbers of the neighbors, in the order of the channels.
        centers: atoms to expand around, ascending; all by default.
        method: use this one for every structure.

    Raises:
        ValueError: for a species that is not listed, or a structure that the method cannot do.
    """
    device = structures.positions.device
    kinds = torch.tensor(sorted(species), dtype=torch.int64, device=device)
    if len(set(species)) != len(species) or list(species) != sorted(species):
        raise ValueError(f"species must ascend without repetition, got {species}")
    _check_species(structures, kinds)
    if centers is None:
        centers = torch.arange(structures.n_atoms, device=device)
    blocks = _in_range(method, expansion, structures, kinds, centers)
    n_radial = blocks[0].shape[3]
    labels = expansion_labels(species, n_radial)
    irreps = [Irrep(l) for l in range(expansion.max_angular + 1)]
    return Equivariants(
        {irrep: block.flatten(start_dim=2) for irrep, block in zip(irreps, blocks, strict=True)},
        dict.fromkeys(irreps, labels),
        centers,
    )


def _check_species(structures: Structures, kinds: Int[Tensor, " species"]) -> None:
    unknown = ~torch.isin(structures.species, kinds)
    if bool(unknown.any()):
        atom = int(unknown.nonzero()[0])
        raise ValueError(
            f"structure {int(structures.structure_index[atom])} contains atomic number "
            f"{int(structures.species[atom])}, which is not among the species {kinds.tolist()}; "
            "train on data that contain it, or leave the structure out"
        )


def _in_range(
    method: Method | None,
    expansion: FieldExpansion,
    structures: Structures,
    kinds: Int[Tensor, " species"],
    centers: Int[Tensor, " center"],
) -> list[Float[Tensor, "center m species n"]]:
    """Near: a sum over pairs; far: what the method makes of all atoms, less that."""
    near = None
    if expansion.range != "all":
        pairs = PairSum() if method is None else PairSum(method.tolerance)
        near = _with_own(pairs, near_field(expansion), structures, kinds, centers)
        if expansion.range == "near":
            return near
        expansion = whole_field(expansion)
    if method is None:
        blocks = _by_periodicity(expansion, structures, kinds, centers)
    else:
        blocks = _with_own(method, expansion, structures, kinds, centers)
    return blocks if near is None else [a - b for a, b in zip(blocks, near, strict=True)]


def _by_periodicity(
    expansion: FieldExpansion,
    structures: Structures,
    kinds: Int[Tensor, " species"],
    centers: Int[Tensor, " center"],
) -> list[Float[Tensor, "center m species n"]]:
    periodic = structures.pbc.any(dim=1)
    if expansion.cutoff is not None or not bool(periodic.any()):
        return _with_own(PairSum(), expansion, structures, kinds, centers)
    if bool(periodic.all()):
        return _with_own(ReciprocalSum(), expansion, structures, kinds, centers)
    parts, places = [], []
    for method, chosen in ((ReciprocalSum(), periodic), (PairSum(), ~periodic)):
        here = chosen[structures.structure_index]
        number = here.cumsum(0) - 1  # of an atom within the sub-batch
        mine = here[centers]
        subset = structures.select(chosen.nonzero().flatten())
        parts.append(_with_own(method, expansion, subset, kinds, number[centers[mine]]))
        places.append(mine.nonzero().flatten())
    back = torch.argsort(torch.cat(places))
    return [torch.cat(pair)[back] for pair in zip(*parts, strict=True)]


def _with_own(
    method: Method,
    expansion: FieldExpansion,
    structures: Structures,
    kinds: Int[Tensor, " species"],
    centers: Int[Tensor, " center"],
) -> list[Float[Tensor, "center m species n"]]:
    """Set the weight of the center's own field, which reaches l = 0 alone."""
    blocks = method.coefficients(expansion, structures, kinds, centers)
    present = 1.0 if isinstance(method, ReciprocalSum) else 0.0
    missing = expansion.center_weight - present
    if missing == 0:
        return blocks
    table = real_table(
        expansion.field, expansion.radial, expansion.max_angular, expansion.cutoff, method.tolerance
    )
    own = table.origin.to(structures.positions) * (missing / math.sqrt(4 * math.pi))
    kind = torch.searchsorted(kinds, structures.species[centers])
    chosen = torch.nn.functional.one_hot(kind, len(kinds)).to(own.dtype)
    blocks[0] = blocks[0] + chosen[:, None, :, None] * own
    return blocks
