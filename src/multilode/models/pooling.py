"""From the features of centers to the features of structures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.equivariants.features import Features
from multilode.models.force_rows import ForceRows, joined_forces
from multilode.models.targets import Reduce, check_reduce


@final
@dataclass(frozen=True, kw_only=True)
class PooledFeatures:
    """One row per structure and one matrix per correlation term.

    Args:
        terms: pooled values, in the order of `Features.terms`.
        centers: center species of the blocks of columns; None if there is one block for all.
        forces: of the same structures, if they are learned from too.

    Raises:
        ValueError: if there is no term, or if the terms have different numbers of rows.
    """

    terms: tuple[Float[Tensor, "structure _"], ...]
    centers: tuple[int, ...] | None = None
    forces: ForceRows | None = None

    def __post_init__(self) -> None:
        rows = {len(term) for term in self.terms}
        if len(rows) != 1:
            raise ValueError(
                f"pooled terms need one common number of structures, got {sorted(rows)}; "
                "pool all terms of the same structures"
            )

    @property
    def n_structures(self) -> int:
        """Number of structures."""
        return len(self.terms[0])

    def select(self, indices: Sequence[int] | Int[Tensor, " chosen"]) -> "PooledFeatures":
        """The chosen structures, in the order given."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return PooledFeatures(
            terms=tuple(term[chosen] for term in self.terms),
            centers=self.centers,
            forces=self.forces and self.forces.select(chosen),
        )

    @staticmethod
    def concatenate(batches: Iterable["PooledFeatures"]) -> "PooledFeatures":
        """The structures of all batches, one after the other."""
        parts = list(batches)
        if not parts:
            raise ValueError("there are no features to concatenate; give at least one structure")
        columns = zip(*(part.terms for part in parts), strict=True)
        return PooledFeatures(
            terms=tuple(torch.cat(column) for column in columns),
            centers=parts[0].centers,
            forces=joined_forces([(part.forces, part.n_structures) for part in parts]),
        )


def species_slots(
    center_species: Int[Tensor, " center"], centers: tuple[int, ...]
) -> Int[Tensor, " center"]:
    """Position of each center's species within `centers`.

    Raises:
        ValueError: if a center has a species that is not listed.
    """
    table = torch.tensor(centers, dtype=torch.int64, device=center_species.device)
    matches = center_species[:, None] == table
    unknown = ~matches.any(dim=1)
    if bool(unknown.any()):
        number = int(center_species[unknown][0])
        raise ValueError(
            f"a center has atomic number {number}, but the model knows {list(centers)}; "
            "train with structures that contain this species"
        )
    return matches.to(torch.int64).argmax(dim=1)


def pool(
    values: Float[Tensor, "center feature"],
    structure_index: Int[Tensor, " center"],
    n_structures: int,
    *,
    reduce: Reduce,
    slots: Int[Tensor, " center"] | None = None,
    n_slots: int = 1,
) -> Float[Tensor, "structure pooled"]:
    """Sum or mean over the centers of each structure; structures without centers give zeros.

    With `slots` every slot (a center species) has a block of columns of its own, and the mean still
    divides by the number of all centers of the structure: a linear model on the pooled rows is
    then a mean of atomic contributions with one weight vector per center species.

    Args:
        slots: block of columns of each center, between 0 and `n_slots - 1`; one block if None.

    Raises:
        ValueError: if `reduce` is neither "sum" nor "mean".
    """
    check_reduce(reduce)
    row = structure_index if slots is None else structure_index * n_slots + slots
    sums = values.new_zeros(n_structures * n_slots, values.shape[1]).index_add(0, row, values)
    sums = sums.reshape(n_structures, n_slots * values.shape[1])
    if reduce == "sum":
        return sums
    counts = torch.bincount(structure_index, minlength=n_structures).clamp(min=1)
    return sums / counts.to(values.dtype)[:, None]


def pool_features(
    features: Features, *, reduce: Reduce, centers: tuple[int, ...] | None
) -> PooledFeatures:
    """All terms of `features`, pooled in the type that they have.

    Args:
        centers: center species, each with its own block of columns; None to pool all alike.

    Raises:
        ValueError: if a center's species is not in `centers`.
    """
    slots = None if centers is None else species_slots(features.center_species, centers)
    pooled = (
        pool(
            term,
            features.structure_index,
            features.n_structures,
            reduce=reduce,
            slots=slots,
            n_slots=1 if centers is None else len(centers),
        )
        for term in features.terms
    )
    return PooledFeatures(terms=tuple(pooled), centers=centers)
