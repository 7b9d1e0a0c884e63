"""From structures to what estimators need to know of them, batch by batch."""

from collections.abc import Iterator
from typing import Any

import torch

from multilode.equivariants.equivariant_features import EquivariantFeatures
from multilode.equivariants.features import Features
from multilode.errors import renumber_errors
from multilode.models import AbstractEstimator, PooledFeatures, Ridge
from multilode.models.targets import Forces, Per, Reduce
from multilode.prediction.force_design import collect_with_forces
from multilode.progress import Progress
from multilode.representation.batches import BATCH_ATOMS, feature_batches
from multilode.representation.recipe import Representation
from multilode.structures.batch import Structures


def collect_design(
    representation: Representation,
    structures: Structures,
    estimator: AbstractEstimator,
    *,
    per: Per = "structure",
    known: Any = None,
    forces: Forces | None = None,
    batch_atoms: int = BATCH_ATOMS,
    progress: Progress | None = None,
) -> Any:
    """What `estimator.fit` needs of the structures (or of each center), collected batch by batch.

    Args:
        known: what `explore` found in the training set.
        forces: to learn from beside the targets of structures.

    Raises:
        ValueError: for a species that the representation does not know, or forces that the
            estimator cannot learn from.
    """
    if forces is not None:
        if per == "atom":
            raise ValueError("targets of atoms have no forces; learn a target of structures")
        return collect_with_forces(
            representation,
            structures,
            forces,
            estimator,
            known=known,
            batch_atoms=batch_atoms,
            progress=progress,
        )
    batches = feature_batches(
        representation, structures, batch_atoms=batch_atoms, progress=progress
    )
    if per == "atom":
        batches = (features.per_center() for features in batches)
    return estimator.collect(batches, representation.centers, known)


def explore(
    representation: Representation,
    structures: Structures,
    estimator: AbstractEstimator,
    *,
    per: Per = "structure",
    batch_atoms: int = BATCH_ATOMS,
) -> Any:
    """What the estimator must know of some training structures before it collects all.

    Such as the active environments of a sparse kernel; None for most estimators.

    Raises:
        ValueError: for a species that the representation does not know.
    """

    def some(n: int, seed: int) -> Iterator[Features | EquivariantFeatures]:
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(structures.n_structures, generator=generator)[:n]
        with renumber_errors(order.tolist()):
            batches = feature_batches(
                representation, structures.select(order), batch_atoms=batch_atoms
            )
            yield from (b.per_center() for b in batches) if per == "atom" else batches

    return estimator.explore(some, representation.centers)


def pooled_features(
    representation: Representation,
    structures: Structures,
    *,
    reduce: Reduce,
    per_species: bool = True,
    batch_atoms: int = BATCH_ATOMS,
    progress: Progress | None = None,
) -> PooledFeatures:
    """Features summed or averaged over the centers; each batch is pooled and then forgotten.

    Args:
        per_species: one block of columns per center species.

    Raises:
        ValueError: for a species that the representation does not know.
    """
    estimator = Ridge(reduce=reduce, per_species=per_species)
    return collect_design(
        representation, structures, estimator, batch_atoms=batch_atoms, progress=progress
    )
