"""The interface of what a model reads of structures."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from multilode.data.inputs import Data
from multilode.errors import blame_structure
from multilode.expansion import FieldExpansion
from multilode.structures.batch import Structures


class AbstractRepresentation(ABC):
    """Fields on bases, and what is made of them: products, or the fields themselves.

    Args:
        fields: by name.
        species: atomic numbers that may occur, ascending.
        products: names of the fields in each term.
        method: of expansions without a cutoff.
        tolerance: relative accuracy of coefficients.
    """

    fields: Mapping[str, FieldExpansion]
    species: tuple[int, ...]
    products: tuple[tuple[str, ...], ...]
    method: str
    tolerance: float | None

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of the numbers of atoms that structures have to bring along."""
        return ()

    @abstractmethod
    def compute(self, structures: Data) -> Any:
        """What a model reads, differentiable in positions and cells.

        Raises:
            ValueError: if a structure has a species that is not in `species`.
        """

    @abstractmethod
    def centers_of(self, structures: Structures) -> Int[Tensor, " center"]:
        """The atoms that carry features, ascending."""


def require_species(structures: Structures, species: tuple[int, ...]) -> None:
    """Raise a `StructureError` if an atom has a species that a recipe does not know."""
    known = torch.tensor(species, device=structures.species.device)
    unknown = ~torch.isin(structures.species, known)
    if bool(unknown.any()):
        atom = int(unknown.nonzero()[0])
        with blame_structure(int(structures.structure_index[atom])):
            raise ValueError(
                f"contains atomic number {int(structures.species[atom])}, which is not "
                f"among the species {list(species)}; train on data that contain it"
            )
