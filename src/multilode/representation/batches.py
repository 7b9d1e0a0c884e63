"""Structures in batches of bounded size, and their features."""

from collections.abc import Iterator

import torch

from multilode.equivariants.features import Features
from multilode.errors import renumber_errors
from multilode.progress import Progress
from multilode.representation.representation import Representation
from multilode.structures.batch import Structures

BATCH_ATOMS = 1024


def feature_batches(
    representation: Representation,
    structures: Structures,
    *,
    batch_atoms: int = BATCH_ATOMS,
    progress: Progress | None = None,
) -> Iterator[Features]:
    """Features of consecutive batches of structures, without gradients."""
    for start, stop in batch_limits(structures, batch_atoms):
        with torch.no_grad(), renumber_errors(range(start, stop)):
            features = representation.compute(structures.select(torch.arange(start, stop)))
        yield features
        if progress is not None:
            progress(stop, structures.n_structures)


def batch_limits(structures: Structures, batch_atoms: int) -> list[tuple[int, int]]:
    """First and last-plus-one structure of batches with at most `batch_atoms` atoms.

    A structure that is larger makes a batch of its own.

    Raises:
        ValueError: if `batch_atoms` is not positive.
    """
    if batch_atoms < 1:
        raise ValueError(f"batch_atoms is {batch_atoms}; use 1 or more")
    limits, start, atoms = [], 0, 0
    for structure, count in enumerate(structures.counts.tolist()):
        if structure > start and atoms + count > batch_atoms:
            limits.append((start, structure))
            start, atoms = structure, 0
        atoms += count
    if structures.n_structures:
        limits.append((start, structures.n_structures))
    return limits
