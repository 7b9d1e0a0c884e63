"""Features of rows, from which linear models of training and test structures are made."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from jaxtyping import Int
from torch import Tensor

from multilode.models.model import AbstractDesign, AbstractMap
from multilode.models.rows import ForceRows, Terms, joined_forces


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class FeatureDesign(AbstractDesign):
    """Features of rows, in whose weights the model is linear: one matrix per term.

    Args:
        map: the map that made them.
        terms: in the order of the terms of the problem.
        forces: of the same structures, if they are learned from too.

    Raises:
        ValueError: if there is no term, or if the terms have different numbers of rows.
    """

    map: AbstractMap[Any]
    terms: Terms
    forces: ForceRows | None = None

    def __post_init__(self) -> None:
        numbers = {len(term) for term in self.terms}
        if len(numbers) != 1:
            raise ValueError(
                f"terms need one common number of rows, got {sorted(numbers)}; "
                "map all terms of the same structures"
            )

    def __len__(self) -> int:
        return self.n_rows

    def __repr__(self) -> str:
        widths = ", ".join(str(term.shape[1]) for term in self.terms)
        beside = "" if self.forces is None else f", {len(self.forces.values)} forces"
        return f"FeatureDesign({self.n_rows} rows, terms of {widths} features{beside})"

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.terms[0])

    @property
    def columns(self) -> Terms:
        """The features."""
        return self.terms

    @property
    def references(self) -> None:
        """None: columns are features."""

    def beside(self, train: AbstractDesign) -> Terms:
        """The features; they do not depend on the training set.

        Raises:
            ValueError: if the two were not made by the same map.
        """
        if self.map != train.map:
            raise ValueError(
                "training and test set were mapped differently, such as with different active "
                "environments; make the map of the training set, and collect both with it"
            )
        return self.terms

    def select(self, indices: Sequence[int] | Int[Tensor, " chosen"]) -> "FeatureDesign":
        """The chosen rows, in the order given."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return replace(
            self,
            terms=tuple(term[chosen] for term in self.terms),
            forces=self.forces and self.forces.select(chosen),
        )

    def joined(self, others: Sequence["FeatureDesign"]) -> "FeatureDesign":
        """These rows and those of others, one after the other."""
        parts = [self, *others]
        columns = zip(*(part.terms for part in parts), strict=True)
        return replace(
            self,
            terms=tuple(torch.cat(column) for column in columns),
            forces=joined_forces([(part.forces, part.n_rows) for part in parts]),
        )

    def stored(self) -> "FeatureDesign":
        """The same on the CPU, in float64 and without gradients."""
        return replace(self, terms=tuple(term.detach().cpu().double() for term in self.terms))

    def with_forces(self, forces: ForceRows) -> "FeatureDesign":
        """The same with forces to learn from."""
        return replace(self, forces=forces)
