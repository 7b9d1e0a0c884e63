"""Environments of all centers, ready for a kernel between rows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.models.kernels import Points


@final
@dataclass(frozen=True, kw_only=True)
class Environments:
    """Points whose kernels, summed over two rows, are the kernel of the rows.

    Args:
        points: prepared by the kernel.
        row_index: row of each point, ascending.
        slots: kind of center of each point; only points of the same kind are compared.
        scale: factor of the kernel for each row: one over the number of its centers for intensive
            targets, otherwise 1.
    """

    points: Points
    row_index: Int[Tensor, " point"]
    slots: Int[Tensor, " point"]
    scale: Float[Tensor, " row"]

    @property
    def n_rows(self) -> int:
        """Number of rows, those without points included."""
        return len(self.scale)

    @property
    def counts(self) -> Int[Tensor, " row"]:
        """Number of points of each row."""
        return torch.bincount(self.row_index, minlength=self.n_rows)

    def select(self, indices: Sequence[int] | Int[Tensor, " chosen"]) -> "Environments":
        """The environments of the chosen rows, in the order given."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        counts = self.counts
        starts, lengths = (counts.cumsum(0) - counts)[chosen], counts[chosen]
        index = torch.arange(len(chosen)).repeat_interleave(lengths)
        within = torch.arange(len(index)) - (lengths.cumsum(0) - lengths)[index]
        points = starts[index] + within
        return Environments(
            points=self.points[points],
            row_index=index,
            slots=self.slots[points],
            scale=self.scale[chosen],
        )

    def of_slot(self, slot: int) -> "Environments":
        """The environments of one kind of center."""
        chosen = (self.slots == slot).nonzero()[:, 0]
        return Environments(
            points=self.points[chosen],
            row_index=self.row_index[chosen],
            slots=self.slots[chosen],
            scale=self.scale,
        )

    @staticmethod
    def concatenate(batches: Sequence["Environments"]) -> "Environments":
        """The rows of all batches, one after the other."""
        shift, shifted = 0, []
        for batch in batches:
            shifted.append(batch.row_index + shift)
            shift += batch.n_rows
        return Environments(
            points=Points.concatenate([batch.points for batch in batches]),
            row_index=torch.cat(shifted),
            slots=torch.cat([batch.slots for batch in batches]),
            scale=torch.cat([batch.scale for batch in batches]),
        )


@final
@dataclass(frozen=True, kw_only=True)
class EnvironmentTerms:
    """The environments of the same rows, once per correlation term.

    Args:
        terms: in the order of `FeatureRows.terms`.

    Raises:
        ValueError: if the terms have different numbers of rows.
    """

    terms: tuple[Environments, ...]

    def __post_init__(self) -> None:
        numbers = {term.n_rows for term in self.terms}
        if len(numbers) != 1:
            raise ValueError(
                f"terms need one common number of rows, got {sorted(numbers)}; "
                "prepare all terms from the same features"
            )

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.terms[0].n_rows

    def select(self, indices: Sequence[int] | Int[Tensor, " chosen"]) -> "EnvironmentTerms":
        """The chosen rows, in the order given."""
        return EnvironmentTerms(terms=tuple(term.select(indices) for term in self.terms))

    @staticmethod
    def concatenate(batches: Iterable["EnvironmentTerms"]) -> "EnvironmentTerms":
        """The rows of all batches, one after the other.

        Raises:
            ValueError: if there is none.
        """
        parts = list(batches)
        if not parts:
            raise ValueError("there are no features to concatenate; give at least one structure")
        columns = zip(*(part.terms for part in parts), strict=True)
        return EnvironmentTerms(terms=tuple(Environments.concatenate(c) for c in columns))
