"""The interface of expansion methods: solve a `Problem`, and estimate the cost."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

from jaxtyping import Float
from torch import Tensor

from multilode.expansion.costs import Costs
from multilode.expansion.expansion import FieldExpansion
from multilode.expansion.lattice.box import Box
from multilode.expansion.problem import Problem


@final
@dataclass(frozen=True)
class Workload:
    """One structure as the choice of a method sees it, for an expansion without a cutoff.

    Args:
        expansion: field and basis.
        tolerance: accuracy relative to the largest coefficient of each l.
        box: the periodic box that stands for the structure, see `enclosing_box`.
        n_atoms: atoms of the structure.
        n_channels: sums over atoms: of each species, or with strengths.
        strengths: whether each atom has a strength in every channel, not only one of its species.
        costs: of the units of work.
    """

    expansion: FieldExpansion
    tolerance: float
    box: Box
    n_atoms: int
    n_channels: int
    strengths: bool
    costs: Costs

    @property
    def n_coefficients(self) -> int:
        """Coefficients (n, l, m) of one channel around one center."""
        return (self.expansion.max_angular + 1) ** 2 * self.expansion.basis.n_radial

    @property
    def channels_per_atom(self) -> int:
        """Channels that one atom contributes to."""
        return self.n_channels if self.strengths else 1


@final
@dataclass(frozen=True)
class Estimate:
    """Estimated cost of a method.

    Args:
        nanoseconds: of values, without derivatives.
        method: the method, with the settings that it was estimated for.
    """

    nanoseconds: float
    method: "AbstractMethod"


class AbstractMethod(ABC):
    """A way to compute the coefficients <a n l m | f_i> of an expansion.

    A frozen dataclass derives from it. An instance can be passed to `expand` as it is; a row in
    `METHODS` gives the class a name and lets it take part in `auto`, for which it must be possible
    to make it without arguments. `multilode.testing.check_method` says whether it is right.

    Args:
        includes_center: whether the center's own field is part of the sum.
        honors_cutoff: whether it sums the neighbors within a cutoff; otherwise it sums all atoms,
            and an expansion whose cutoff leaves any of them out is refused.
        takes_strengths: whether it sums atoms with the strengths of a problem, differentiably;
            otherwise it sums those of each species, and is refused where strengths are given.
        tolerance: accuracy of its own; None: that of the problem.
    """

    includes_center: ClassVar[bool]
    honors_cutoff: ClassVar[bool]
    takes_strengths: ClassVar[bool]
    tolerance: float | None

    @abstractmethod
    def coefficients(self, problem: Problem) -> list[Float[Tensor, "center m channel n"]]:
        """Coefficients around each center, one block per l, to the tolerance of the problem.

        Raises:
            ValueError: if the method cannot do it.
            StructureError: if it cannot do one of the structures.
        """

    @abstractmethod
    def estimate(self, workload: Workload) -> Estimate | None:
        """Estimated cost of one structure; None if the method cannot."""
