"""What a sparse kernel knows of structures: how alike they are to the active environments."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.models.active import ActiveEnvironments
from multilode.models.force_rows import ForceRows, joined_forces


@final
@dataclass(frozen=True, kw_only=True)
class ActiveTerms:
    """Active environments of all terms, None for those that are linear in their features.

    Args:
        terms: in the order of the features.
        centers: center species that are compared with their own kind only; None compares all.
    """

    terms: tuple[ActiveEnvironments | None, ...]
    centers: tuple[int, ...] | None


@final
@dataclass(frozen=True, kw_only=True)
class SparseDesign:
    """Features of structures with regard to active environments: a row each, whatever its size.

    Args:
        terms: features of each term, whose scalar products are its kernel.
        active: what they are features of.
        forces: of the same structures, if they are learned from too.
    """

    terms: tuple[Float[Tensor, "structure _"], ...]
    active: ActiveTerms
    forces: ForceRows | None = None

    @property
    def n_structures(self) -> int:
        """Number of structures."""
        return len(self.terms[0])

    def select(self, indices: Sequence[int] | Int[Tensor, " chosen"]) -> "SparseDesign":
        """The chosen structures, in the order given."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return replace(
            self,
            terms=tuple(term[chosen] for term in self.terms),
            forces=self.forces and self.forces.select(chosen),
        )

    @staticmethod
    def concatenate(batches: Iterable["SparseDesign"]) -> "SparseDesign":
        """The structures of all batches, one after the other."""
        parts = list(batches)
        if not parts:
            raise ValueError("there are no features to concatenate; give at least one structure")
        columns = zip(*(part.terms for part in parts), strict=True)
        return replace(
            parts[0],
            terms=tuple(torch.cat(column) for column in columns),
            forces=joined_forces([(part.forces, part.n_structures) for part in parts]),
        )
