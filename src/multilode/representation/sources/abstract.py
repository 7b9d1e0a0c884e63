"""The interface of what atoms are as sources of a field."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor

from multilode.structures.batch import Structures


class AbstractSources(ABC):
    """Strengths of atoms as sources of a field, one column for each of its channels.

    A frozen dataclass derives from it; a row in `SOURCES` gives it a name.
    `multilode.testing.check_sources` says whether it is right.
    """

    @property
    @abstractmethod
    def n_channels(self) -> int:
        """Number of channels."""

    @property
    @abstractmethod
    def arrays(self) -> tuple[str, ...]:
        """Names of the numbers of atoms that structures have to bring along."""

    @property
    def species(self) -> tuple[int, ...] | None:
        """Atomic numbers that it knows, ascending; None for any."""
        return None

    @abstractmethod
    def strengths(self, structures: Structures) -> Float[Tensor, "atom channel"]:
        """Strengths of all atoms of a batch; differentiable in what they depend on.

        Raises:
            ValueError: if structures lack an array, or have a species that was not trained.
        """
