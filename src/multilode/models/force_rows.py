"""Forces as rows of a regression that is linear in features of structures.

The energy of a structure A is E_A = x_A . w, so that its force along a direction u, a displacement
of all its atoms, is F_A . u = -(dx_A/du) . w: one more row for the same weights.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

_ROUNDING = 1e-10  # Å; what a baseline that describes all energies leaves of them over the forces
_SAMPLED_GROUPS = 100  # of which a sample has forces, if not all of them

Terms = tuple[Float[Tensor, "row _"], ...]


@final
@dataclass(frozen=True, kw_only=True)
class ForceRows:
    """Forces of structures along some directions, and what a linear model makes of them.

    Args:
        terms: minus the derivatives of the features of each term along the directions, in 1/Å.
        values: the forces along them, in unit/Å.
        structure: structure of each row, ascending.
        weight: Å; an error of 1 unit/Å counts as much as one of `weight` units in a target. None
            gives all forces as much weight as all targets: equal sums of squares.
    """

    terms: Terms
    values: Float[Tensor, " row"]
    structure: Int[Tensor, " row"]
    weight: float | None = None

    def select(self, chosen: Int[Tensor, " chosen"]) -> "ForceRows":
        """The rows of the chosen structures, which are numbered in the order given."""
        rows, structure = self.rows_of(chosen)
        return replace(
            self,
            terms=tuple(term[rows] for term in self.terms),
            values=self.values[rows],
            structure=structure,
        )

    def rows_of(
        self, chosen: Int[Tensor, " chosen"]
    ) -> tuple[Int[Tensor, " row"], Int[Tensor, " row"]]:
        """Rows of the chosen structures, and to which of them each belongs."""
        n_structures = int(chosen.max()) + 1 if len(chosen) else 0
        counts = torch.bincount(self.structure, minlength=n_structures)
        starts, wanted = counts.cumsum(0) - counts, counts[chosen]
        structure = torch.arange(len(chosen)).repeat_interleave(wanted)
        within = torch.arange(len(structure)) - (wanted.cumsum(0) - wanted)[structure]
        return starts[chosen][structure] + within, structure

    @staticmethod
    def concatenate(batches: Iterable[tuple["ForceRows", int]]) -> "ForceRows":
        """The rows of consecutive batches.

        Args:
            batches: the rows and the number of structures of each.
        """
        parts, numbers, first = [], [], 0
        for rows, n_structures in batches:
            parts.append(rows)
            numbers.append(rows.structure + first)
            first += n_structures
        columns = zip(*(part.terms for part in parts), strict=True)
        return replace(
            parts[0],
            terms=tuple(torch.cat(column) for column in columns),
            values=torch.cat([part.values for part in parts]),
            structure=torch.cat(numbers),
        )


def joined_forces(batches: Sequence[tuple[ForceRows | None, int]]) -> ForceRows | None:
    """The forces of consecutive batches, if they have any.

    Args:
        batches: the rows and the number of structures of each.

    Raises:
        ValueError: if only some have forces.
    """
    known = [(rows, n) for rows, n in batches if rows is not None]
    if len(known) not in (0, len(batches)):
        raise ValueError("some designs have forces and some have none; collect all alike")
    return ForceRows.concatenate(known) if known else None


@final
@dataclass(frozen=True, kw_only=True)
class Rows:
    """What is regressed: targets of structures, and beneath them the forces if there are any.

    Args:
        terms: features of each term.
        y: targets; weighted forces.
        n_structures: number of rows at the top, which are structures.
        groups: rows with equal numbers are never split between folds; None if each stands alone.
        forces: where the rows beneath come from.
    """

    terms: Terms
    y: Float[Tensor, "row target"]
    n_structures: int
    groups: Int[Tensor, " row"] | None
    forces: ForceRows | None = None

    def of(self, structures: Int[Tensor, " chosen"]) -> Int[Tensor, " row"]:
        """Rows of the chosen structures."""
        if self.forces is None:
            return structures
        return torch.cat([structures, self.n_structures + self.forces.rows_of(structures)[0]])

    def sample(self, most: int, seed: int) -> "Rows":
        """Whole groups drawn at random, in all not many more rows than `most`.

        Where few groups have as many forces as that, a part of the forces of more groups is drawn,
        and counts as much as all of them.
        """
        own = torch.arange(len(self.y)) if self.groups is None else self.groups
        numbers = own.unique(return_inverse=True)[1]
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(int(numbers.max()) + 1, generator=generator)
        sizes, structures = (
            torch.bincount(part, minlength=len(order))[order].cumsum(0)
            for part in (numbers, numbers[: self.n_structures])
        )
        whole = int((sizes <= most).sum())
        thinned = min(int((structures <= most // 4).sum()), _SAMPLED_GROUPS)
        some = torch.isin(numbers, order[: max(2, whole, thinned)]).nonzero()[:, 0]
        own, derived = some[some < self.n_structures], some[some >= self.n_structures]
        room = max(most - len(own), len(own))
        kept = torch.randperm(len(derived), generator=generator)[:room].sort().values
        factor = (len(derived) / max(len(kept), 1)) ** 0.5
        chosen = torch.cat([own, derived[kept]])
        factors = torch.ones(len(chosen), 1, dtype=self.y.dtype)
        factors[len(own) :] = factor
        return Rows(
            terms=tuple(term[chosen] * factors for term in self.terms),
            y=self.y[chosen] * factors,
            n_structures=len(own),
            groups=None if self.groups is None else self.groups[chosen],
        )


def regression_rows(
    terms: Terms,
    y: Float[Tensor, "structure target"],
    forces: ForceRows | None,
    *,
    groups: Int[Tensor, " structure"] | None,
    intercept: bool,
) -> Rows:
    """Put weighted forces beneath the targets; those of a structure are in its group.

    Raises:
        ValueError: if there are forces and several targets or an intercept, or all forces vanish.
    """
    if forces is None:
        return Rows(terms=terms, y=y, n_structures=len(y), groups=groups)
    if y.shape[1] != 1 or intercept:
        raise ValueError(
            "forces are the derivatives of one extensive energy; fit them with reduce='sum', "
            f"without an intercept and with one target, not {y.shape[1]}"
        )
    weight = forces.weight or _balance(y, forces.values)
    own = torch.arange(len(y)) if groups is None else groups
    pairs = zip(terms, forces.terms, strict=True)
    return Rows(
        terms=tuple(torch.cat([x, weight * slope.to(x)]) for x, slope in pairs),
        y=torch.cat([y, weight * forces.values.to(y)[:, None]]),
        n_structures=len(y),
        groups=torch.cat([own, own[forces.structure]]),
        forces=forces,
    )


def _balance(y: Float[Tensor, "structure 1"], forces: Float[Tensor, " row"]) -> float:
    """The weight with which the squares of all targets and all forces have equal sums.

    1 Å where the baseline describes all targets, as it can with few structures: forces are then
    all there is to learn from.
    """
    squares = float(forces.square().sum())
    if squares == 0:
        raise ValueError(
            "all forces are zero; leave them out, or check the key and the unit of the forces"
        )
    weight = (float(y.square().sum()) / squares) ** 0.5
    return weight if weight > _ROUNDING else 1.0  # nothing is left of energies
