"""The problem of a regression, before any method is chosen."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar, final

from multilode.equivariants.features import Features
from multilode.models.reduce import Reduce, check_reduce
from multilode.representation.representation import Representation
from multilode.symmetry.irrep import INVARIANT, Irrep

Value = TypeVar("Value")
# draws features of n random structures, from n and a seed, batch by batch
SampleFeatures = Callable[[int, int], Iterable[Features]]


@final
@dataclass(frozen=True, kw_only=True)
class Problem:
    """One irrep of a target: which features it is learned from, and how they add up.

    Args:
        centers: atomic numbers that may be centers.
        n_terms: number of all correlation terms.
        terms: numbers of the terms that have features of the irrep.
        reduce: "sum" over centers for extensive, "mean" for intensive targets.
        irrep: the rows are its components.

    Raises:
        ValueError: if no term has the irrep, or `reduce` is unknown.
    """

    centers: tuple[int, ...]
    n_terms: int
    terms: tuple[int, ...]
    reduce: Reduce = "sum"
    irrep: Irrep = INVARIANT

    def __post_init__(self) -> None:
        check_reduce(self.reduce)
        if not self.terms:
            raise ValueError(f"no product has features of {self.irrep}; add one that has")

    @staticmethod
    def of(
        representation: Representation, *, reduce: Reduce = "sum", irrep: Irrep = INVARIANT
    ) -> "Problem":
        """With the features of a representation."""
        return Problem(
            centers=representation.centers,
            n_terms=len(representation.products),
            terms=representation.terms_with(irrep),
            reduce=reduce,
            irrep=irrep,
        )

    @property
    def components(self) -> int:
        """Number of rows, components m, of each structure or center."""
        return 2 * self.irrep.degree + 1

    def intercept(self, wanted: bool | None) -> bool:  # noqa: FBT001 - the setting itself
        """Whether there is a constant; only invariants may have one, intensive ones by default."""
        if self.irrep != INVARIANT:
            return False
        return self.reduce == "mean" if wanted is None else wanted

    def pick(self, values: tuple[Value, ...], name: str) -> tuple[Value, ...]:
        """The settings of those terms that have the irrep.

        Args:
            values: one for each of all terms.
            name: of the settings, for the error.

        Raises:
            ValueError: if there is another number of them.
        """
        if len(values) != self.n_terms:
            raise ValueError(
                f"got {len(values)} {name} for {self.n_terms} terms; give one value for each term"
            )
        return tuple(values[k] for k in self.terms)
