"""Features of all environments, ready for a kernel between structures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor


@final
@dataclass(frozen=True, kw_only=True)
class Environments:
    """Rows whose kernels, summed over two structures, are the kernel of the structures.

    Norms and the division by the number of centers (for intensive targets) are inside the values.

    Args:
        values: one row per environment.
        structure_index: structure of each row, ascending.
        slots: kind of center of each row; only rows of the same kind are compared.
        n_structures: number of structures, those without rows included.
        invariants: what the kernel of equivariant rows is multiplied with; None for rows that are
            invariants themselves.
    """

    values: Float[Tensor, "row feature"]
    structure_index: Int[Tensor, " row"]
    slots: Int[Tensor, " row"]
    n_structures: int
    invariants: Float[Tensor, "row invariant"] | None = None

    def select(self, indices: Sequence[int] | Int[Tensor, " chosen"]) -> "Environments":
        """The environments of the chosen structures, in the order given."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        counts = torch.bincount(self.structure_index, minlength=self.n_structures)
        starts, lengths = (counts.cumsum(0) - counts)[chosen], counts[chosen]
        new_index = torch.arange(len(chosen)).repeat_interleave(lengths)
        within = torch.arange(len(new_index)) - (lengths.cumsum(0) - lengths)[new_index]
        rows = starts[new_index] + within
        return Environments(
            values=self.values[rows],
            structure_index=new_index,
            slots=self.slots[rows],
            n_structures=len(chosen),
            invariants=None if self.invariants is None else self.invariants[rows],
        )

    def of_slot(self, slot: int) -> "Environments":
        """The environments of one kind of center."""
        rows = (self.slots == slot).nonzero()[:, 0]
        return Environments(
            values=self.values[rows],
            structure_index=self.structure_index[rows],
            slots=self.slots[rows],
            n_structures=self.n_structures,
            invariants=None if self.invariants is None else self.invariants[rows],
        )

    @staticmethod
    def concatenate(batches: Sequence["Environments"]) -> "Environments":
        """The structures of all batches, one after the other."""
        shift, shifted = 0, []
        invariants = [b.invariants for b in batches if b.invariants is not None]
        for batch in batches:
            shifted.append(batch.structure_index + shift)
            shift += batch.n_structures
        return Environments(
            values=torch.cat([batch.values for batch in batches]),
            structure_index=torch.cat(shifted),
            slots=torch.cat([batch.slots for batch in batches]),
            n_structures=shift,
            invariants=torch.cat(invariants) if invariants else None,
        )


@final
@dataclass(frozen=True, kw_only=True)
class EnvironmentTerms:
    """The environments of the same structures, once per correlation term.

    Args:
        terms: in the order of `Features.terms`.
        centers: center species of the slots; None if centers of all species are compared.
    """

    terms: tuple[Environments, ...]
    centers: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        numbers = {term.n_structures for term in self.terms}
        if len(numbers) != 1:
            raise ValueError(
                f"terms need one common number of structures, got {sorted(numbers)}; "
                "prepare all terms from the same structures"
            )

    @property
    def n_structures(self) -> int:
        """Number of structures."""
        return self.terms[0].n_structures

    def select(self, indices: Sequence[int] | Int[Tensor, " chosen"]) -> "EnvironmentTerms":
        """The chosen structures, in the order given."""
        return EnvironmentTerms(
            terms=tuple(term.select(indices) for term in self.terms), centers=self.centers
        )

    @staticmethod
    def concatenate(batches: Iterable["EnvironmentTerms"]) -> "EnvironmentTerms":
        """The structures of all batches, one after the other."""
        parts = list(batches)
        if not parts:
            raise ValueError("there are no features to concatenate; give at least one structure")
        columns = zip(*(part.terms for part in parts), strict=True)
        return EnvironmentTerms(
            terms=tuple(Environments.concatenate(column) for column in columns),
            centers=parts[0].centers,
        )
