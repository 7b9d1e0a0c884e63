"""The interface of what a model reads of structures."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from jaxtyping import Int
from torch import Tensor

from multilode.data.inputs import Data
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

    @abstractmethod
    def compute(self, structures: Data) -> Any:
        """What a model reads, differentiable in positions and cells.

        Raises:
            ValueError: if a structure has a species that is not in `species`.
        """

    @abstractmethod
    def centers_of(self, structures: Structures) -> Int[Tensor, " center"]:
        """The atoms that carry features, ascending."""
