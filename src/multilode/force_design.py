"""Designs with forces: features of structures and their derivatives, in one pass per batch."""

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.batches import BATCH_ATOMS, Progress, batch_limits
from multilode.errors import numbered
from multilode.expand.memory import require_bytes
from multilode.models import AbstractEstimator
from multilode.models.force_rows import ForceRows
from multilode.models.slopes import (
    Directions,
    all_directions,
    derivatives_along,
    random_directions,
)
from multilode.representation import Representation
from multilode.structures import Structures
from multilode.targets import Forces

_COPIES = 4  # of all rows in memory during a fit


def collect_with_forces(
    representation: Representation,
    structures: Structures,
    forces: Forces,
    estimator: AbstractEstimator,
    *,
    known: Any = None,
    batch_atoms: int = BATCH_ATOMS,
    progress: Progress | None = None,
) -> Any:
    """What `estimator.fit` needs of the structures, with their forces as further rows.

    Args:
        known: what `explore` found in the training set.

    Raises:
        ValueError: if there is not one force per atom, the estimator cannot learn from forces, or
            the memory does not hold all rows.
    """
    if len(forces.values) != structures.n_atoms:
        raise ValueError(
            f"got {len(forces.values)} forces for {structures.n_atoms} atoms; give one for each"
        )
    generator, starts = torch.Generator().manual_seed(forces.seed), structures.counts.cumsum(0)
    designs, rows = [], []
    for start, stop in batch_limits(structures, batch_atoms):
        batch = structures.select(torch.arange(start, stop))
        directions = _directions(batch, forces, generator)
        first = int(starts[start] - structures.counts[start])
        own = forces.values[first : first + batch.n_atoms]
        with numbered(range(start, stop)):
            design, slopes = _batch(representation, batch, estimator, known, directions)
        if not designs:
            _check_memory(structures, forces, sum(term.shape[1] for term in design.terms))
        designs.append(design)
        rows.append((_rows(slopes, own, batch, directions, forces.weight), stop - start))
        if progress is not None:
            progress(stop, structures.n_structures)
    whole = type(designs[0]).concatenate(designs)
    return replace(whole, forces=ForceRows.concatenate(rows))


def _directions(batch: Structures, forces: Forces, generator: torch.Generator) -> Directions:
    counts = batch.counts.cpu()
    if forces.directions is None or forces.directions >= 3 * int(counts.max()):
        return all_directions(counts)
    return random_directions(counts, forces.directions, generator)


def _batch(
    representation: Representation,
    batch: Structures,
    estimator: AbstractEstimator,
    known: Any,
    directions: Directions,
) -> tuple[Any, tuple[Float[Tensor, "structure direction _"], ...]]:
    """The design of a batch and the derivatives of its terms."""
    positions = batch.positions.detach().clone().requires_grad_()
    features = representation.compute(replace(batch, positions=positions))
    design = estimator.design_of(features, representation.centers, known)
    widths = [term.shape[1] for term in design.terms]
    joined = torch.cat(design.terms, dim=1)
    slopes = derivatives_along(joined, positions, batch.structure_index, directions)
    terms = tuple(term.detach().cpu().double() for term in design.terms)
    return replace(design, terms=terms), slopes.cpu().double().split(widths, dim=2)


def _rows(
    slopes: tuple[Float[Tensor, "structure direction _"], ...],
    forces: Float[Tensor, "atom 3"],
    batch: Structures,
    directions: Directions,
    weight: float | None,
) -> ForceRows:
    """Only directions that a structure has, with their scale."""
    along = torch.einsum("ax,axk->ak", forces.double().cpu(), directions.vectors)
    values = along.new_zeros(batch.n_structures, directions.number)
    values.index_add_(0, batch.structure_index.cpu(), along)
    structure, direction = directions.present.nonzero(as_tuple=True)
    scale = directions.scale[structure]
    return ForceRows(
        terms=tuple(-scale[:, None] * slope[structure, direction] for slope in slopes),
        values=scale * values[structure, direction],
        structure=structure,
        weight=weight,
    )


def _check_memory(structures: Structures, forces: Forces, columns: int) -> None:
    most = 3 * structures.counts
    n_rows = int((most if forces.directions is None else most.clamp(max=forces.directions)).sum())
    require_bytes(
        8.0 * _COPIES * n_rows * columns,
        torch.device("cpu"),
        what=f"a fit of {n_rows} forces with {columns} features",
        remedy="learn from forces along fewer directions, from fewer structures or with a smaller "
        "basis",
    )
