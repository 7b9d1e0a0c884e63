"""Designs with forces: features of structures and their derivatives, in one pass per batch."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.errors import renumber_errors
from multilode.models import PooledMap, TargetDesign
from multilode.models.kernel_ridge.product_slopes import has_product_slopes, product_slopes
from multilode.models.kernel_ridge.sparse_kernel import NystroemMap
from multilode.models.rows import ForceRows, Terms
from multilode.models.slopes import (
    AbstractDirections,
    SomeDirections,
    all_directions,
    along_directions,
    derivatives_along,
    random_directions,
)
from multilode.models.target_regression import TargetMap
from multilode.models.targets import Forces
from multilode.numerics.memory import require_bytes
from multilode.numerics.modes import own_modes
from multilode.progress import Progress
from multilode.representation.batches import BATCH_ATOMS, batch_limits
from multilode.representation.pooled_slopes import has_pooled_slopes, pooled_slopes
from multilode.representation.representation import Representation
from multilode.scheduling import mapped
from multilode.structures.batch import Structures
from multilode.symmetry.irrep import INVARIANT

_COPIES = 4  # of all rows in memory during a fit


def collect_with_forces(
    maps: TargetMap,
    representation: Representation,
    structures: Structures,
    forces: Forces,
    *,
    batch_atoms: int = BATCH_ATOMS,
    progress: Progress | None = None,
) -> TargetDesign:
    """The design of structures, with their forces as further rows.

    Args:
        maps: of an energy.

    Raises:
        ValueError: if there is not one force per atom, the method cannot learn from forces, or the
            memory does not hold all rows.
    """
    check_number_of_forces(structures, forces)
    _check_memory(maps, representation, structures, forces)
    generator = torch.Generator().manual_seed(forces.seed)
    limits = batch_limits(structures, batch_atoms)
    batches = [(own, _directions(structures, forces, own, generator)) for own in limits]
    designs, rows = [], []
    found = mapped(_design, batches, maps, representation, structures, forces)
    for (start, stop), (design, own) in zip(limits, found, strict=True):
        designs.append(design.with_maps(maps.maps))
        rows.append((own, stop - start))
        if progress is not None:
            progress(stop, structures.n_structures)
    joined = replace(ForceRows.concatenate(rows), weight=forces.weight)
    return TargetDesign.concatenate(designs).with_forces(joined)


@own_modes(gradients=True)
def _design(
    batch_and_directions: tuple[tuple[int, int], AbstractDirections],
    maps: TargetMap,
    representation: Representation,
    structures: Structures,
    forces: Forces,
) -> tuple[TargetDesign, ForceRows]:
    """Rows of the structures between two limits, and of their forces along some directions."""
    (start, stop), directions = batch_and_directions
    slots, sparse = slots_of(maps, representation), with_product_slopes(maps, representation)
    by_adjoints = slots is None and sparse is None
    batch = structures.select(torch.arange(start, stop))
    first = int(structures.counts[:start].sum())
    own = torch.as_tensor(forces.values)[first : first + batch.n_atoms]
    positions = batch.positions.detach().clone().requires_grad_(by_adjoints)
    with renumber_errors(range(start, stop)):
        features = representation.compute(replace(batch, positions=positions))
        with torch.set_grad_enabled(by_adjoints):
            design = maps.design(features)
        if slots is not None:
            slopes = _multiplied(representation, batch, slots, directions)
        elif sparse is not None:
            whole = product_slopes(sparse, representation, batch)
            slopes = tuple(along_directions(term, batch.counts, directions) for term in whole)
        else:
            slopes = _differentiated(design.invariant.columns, positions, directions)
        rows = _force_rows(slopes, own, directions)
    return design.stored().without_maps(), rows


def slots_of(maps: TargetMap, representation: Representation) -> list[tuple[int, ...]] | None:
    """Center species of each block of columns, where slopes are matrix products; else None."""
    own = maps.maps.get(INVARIANT)
    if not isinstance(own, PooledMap) or own.problem.reduce != "sum":
        return None
    if not has_pooled_slopes(representation):
        return None
    return [representation.centers] if own.centers is None else [(c,) for c in own.centers]


def check_number_of_forces(structures: Structures, forces: Forces) -> None:
    """Raise a ValueError if there is not one force for each atom."""
    if len(forces.values) != structures.n_atoms:
        raise ValueError(
            f"got {len(forces.values)} forces for {structures.n_atoms} atoms; give one for each"
        )


def _directions(
    structures: Structures, forces: Forces, limits: tuple[int, int], generator: torch.Generator
) -> AbstractDirections:
    """Along which the forces of a batch are learned."""
    counts = structures.counts[slice(*limits)].cpu()
    if forces.directions is None or forces.directions >= 3 * int(counts.max()):
        return all_directions(counts)
    return random_directions(counts, forces.directions, generator)


def with_product_slopes(maps: TargetMap, representation: Representation) -> NystroemMap | None:
    """The map to a sparse kernel whose slopes are matrix products; None for all others."""
    own = maps.maps.get(INVARIANT)
    usable = isinstance(own, NystroemMap) and has_product_slopes(own, representation)
    return own if isinstance(own, NystroemMap) and usable else None


def _multiplied(
    representation: Representation,
    batch: Structures,
    slots: Sequence[Sequence[int]],
    directions: AbstractDirections,
) -> tuple[Float[Tensor, "row _"], ...]:
    """Derivatives of the features of structures along chosen directions, by matrix products."""
    along = directions.vectors if isinstance(directions, SomeDirections) else None
    terms = pooled_slopes(representation, batch, slots, along=along)
    if along is not None:
        present = directions.present.flatten()
        terms = tuple(term[present.to(term.device)] for term in terms)
    return tuple(term.cpu().double() for term in terms)


def _differentiated(
    terms: tuple[Float[Tensor, "structure _"], ...],
    positions: Float[Tensor, "atom 3"],
    directions: AbstractDirections,
) -> tuple[Float[Tensor, "row _"], ...]:
    """Derivatives of the features of structures, computed from `positions`, by adjoints."""
    found = derivatives_along(torch.cat(terms, dim=1), positions, directions)
    return found.split([term.shape[1] for term in terms], dim=1)


def _force_rows(
    slopes: Terms, forces: Float[Tensor, "atom 3"], directions: AbstractDirections
) -> ForceRows:
    """Force components of a batch along chosen directions, with their scale.

    Args:
        slopes: derivatives of features along them.
        forces: on the atoms.
        directions: along which there are rows.
    """
    scale = directions.scale[directions.structure]
    return ForceRows(
        terms=tuple(-scale[:, None] * term for term in slopes),
        values=scale * directions.along(forces.double().cpu()),
        structure=directions.structure,
    )


def _check_memory(
    maps: TargetMap, representation: Representation, structures: Structures, forces: Forces
) -> None:
    """Raise a ValueError if the memory does not hold all rows, with the columns of the first."""
    with torch.no_grad():
        first = maps.design(representation.compute(structures.select([0])))
    columns = sum(term.shape[1] for term in first.invariant.columns)
    most = 3 * structures.counts
    n_rows = int((most if forces.directions is None else most.clamp(max=forces.directions)).sum())
    require_bytes(
        8.0 * _COPIES * n_rows * columns,
        torch.device("cpu"),
        what=f"a fit of {n_rows} forces with {columns} features",
        remedy="learn from forces along fewer directions, from fewer structures or with a smaller "
        "basis",
    )
