"""Rows of a regression: targets, and forces beneath them where the model is linear in features.

The energy of a structure A is E_A = x_A . w, so that its force along a direction u, a displacement
of all its atoms, is F_A . u = -(dx_A/du) . w: one more row for the same weights.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.models.problem import Problem

_ROUNDING = 1e-10  # Å; what a baseline that describes all energies leaves of them over the forces
_SAMPLED_GROUPS = 100  # of which a sample has forces, if not all of them

Terms = tuple[Float[Tensor, "row _"], ...]


@final
@dataclass(frozen=True, kw_only=True)
class ForceRows:
    """Force components along chosen directions, with the matching rows of the design matrix.

    Source: theory#force-rows.

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
    """Rows of a regression: targets, and beneath them the forces if there are any.

    Args:
        problem: the regression.
        terms: features of each term; or kernels with the rows of a training set, in columns.
        y: targets; weighted forces.
        n_targets: number of rows at the top, which have targets.
        groups: rows with equal numbers are never split between folds; None if each stands alone.
        forces: those of the rows beneath.
        references: column of each row, where columns are kernels with rows; None for features.
        force_weight: by which the rows of forces are multiplied.
        roots: of the weights of structures, by which each row is multiplied; None if all are one.
    """

    problem: Problem
    terms: Terms
    y: Float[Tensor, "row target"]
    n_targets: int
    groups: Int[Tensor, " row"] | None = None
    forces: ForceRows | None = None
    references: Int[Tensor, " row"] | None = None
    force_weight: float | None = None
    roots: Float[Tensor, " row"] | None = None

    def __len__(self) -> int:
        return len(self.y)

    def below(self, targets: Int[Tensor, " chosen"]) -> Int[Tensor, " row"]:
        """Numbers of the chosen targets, and of the rows of their forces."""
        if self.forces is None:
            return targets
        return torch.cat([targets, self.n_targets + self.forces.rows_of(targets)[0]])

    def intercept(self, wanted: bool | None) -> bool:  # noqa: FBT001 - the setting itself
        """Whether there is a constant, see `Problem.intercept`.

        Raises:
            ValueError: if there are forces, of which it has none.
        """
        found = self.problem.intercept(wanted)
        if found and self.forces is not None:
            raise ValueError(
                "forces are the derivatives of one extensive energy; fit them with reduce='sum' "
                "and without an intercept"
            )
        if found and self.roots is not None:
            raise ValueError(
                "structures have weights in fits without an intercept only, of extensive targets; "
                "leave the weights out, or set intercept to false"
            )
        return found

    def unweighted(self, rows: Float[Tensor, "row ..."]) -> Float[Tensor, "row ..."]:
        """The first rows without the weights of their structures."""
        if self.roots is None:
            return rows
        return rows / self.roots[: len(rows)].reshape(-1, *[1] * (rows.ndim - 1))

    def select(self, targets: Int[Tensor, " chosen"]) -> "Rows":
        """The chosen targets with their forces, in the order given."""
        rows = self.below(targets)
        return replace(
            self,
            terms=tuple(term[rows] for term in self.terms),
            y=self.y[rows],
            n_targets=len(targets),
            groups=None if self.groups is None else self.groups[rows],
            forces=self.forces and self.forces.select(targets),
            references=None if self.references is None else self.references[rows],
            roots=None if self.roots is None else self.roots[rows],
        )

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
            for part in (numbers, numbers[: self.n_targets])
        )
        whole = int((sizes <= most).sum())
        thinned = min(int((structures <= most // 4).sum()), _SAMPLED_GROUPS)
        some = torch.isin(numbers, order[: max(2, whole, thinned)]).nonzero()[:, 0]
        own, derived = some[some < self.n_targets], some[some >= self.n_targets]
        room = max(most - len(own), len(own))
        kept = torch.randperm(len(derived), generator=generator)[:room].sort().values
        factor = (len(derived) / max(len(kept), 1)) ** 0.5
        chosen = torch.cat([own, derived[kept]])
        factors = torch.ones(len(chosen), 1, dtype=self.y.dtype)
        factors[len(own) :] = factor
        terms, references = tuple(term[chosen] for term in self.terms), self.references
        if references is not None:  # kernels among the chosen rows
            terms = tuple(term[:, references[chosen]] for term in terms)
            references = torch.arange(len(chosen))
        return Rows(
            problem=self.problem,
            terms=tuple(term * factors for term in terms),
            references=references,
            y=self.y[chosen] * factors,
            n_targets=len(own),
            groups=None if self.groups is None else self.groups[chosen],
            force_weight=self.force_weight and self.force_weight * factor,
            roots=None if self.roots is None else self.roots[chosen],
        )


def regression_rows(
    problem: Problem,
    terms: Terms,
    y: Float[Tensor, "_ target"],  # checked here
    *,
    forces: ForceRows | None = None,
    groups: Int[Tensor, " row"] | None = None,
    references: Int[Tensor, " row"] | None = None,
    weights: Float[Tensor, " row"] | None = None,
) -> Rows:
    """Put weighted forces beneath the targets; those of a structure are in its group.

    Args:
        weights: how much the square of an error counts, in a target and in the forces of its
            structure; rows are multiplied by their roots.

    Raises:
        ValueError: if the targets are not one finite row for each row of the features, or there are
            forces and several targets, or all forces vanish, or columns are kernels and rows have
            weights.
    """
    y = check_targets(y, len(terms[0]))
    shared = {"problem": problem, "n_targets": len(y)}
    if forces is None:
        rows = Rows(terms=terms, y=y, groups=groups, references=references, **shared)
        return rows if weights is None else _weighted(rows, weights)
    if y.shape[1] != 1:
        raise ValueError(
            "forces are the derivatives of one extensive energy; fit them with one target, not "
            f"{y.shape[1]}"
        )
    weight = forces.weight or balanced_weight(y, forces.values)
    own = torch.arange(len(y)) if groups is None else groups
    pairs = zip(terms, forces.terms, strict=True)
    rows = Rows(
        terms=tuple(torch.cat([x, weight * slope.to(x)]) for x, slope in pairs),
        y=torch.cat([y, weight * forces.values.to(y)[:, None]]),
        groups=torch.cat([own, own[forces.structure]]),
        forces=forces,
        force_weight=weight,
        **shared,
    )
    return rows if weights is None else _weighted(rows, weights)


def _weighted(rows: Rows, weights: Float[Tensor, " target"]) -> Rows:
    """Each row, and the forces of its structure, times the root of its weight."""
    if rows.references is not None:
        raise ValueError(
            "structures have weights in models that are linear in features: ridge and sparse; "
            "leave the weights out of a full kernel"
        )
    own = weights.to(rows.y)
    if rows.forces is not None:
        own = torch.cat([own, own[rows.forces.structure]])
    roots = own.sqrt()
    terms = tuple(term * roots.to(term)[:, None] for term in rows.terms)
    return replace(rows, terms=terms, y=rows.y * roots[:, None], roots=roots)


def check_targets(
    y: Float[Tensor, "row target"], n_rows: int, noun: str = "row"
) -> Float[Tensor, "row target"]:
    """`y` in float64.

    Args:
        noun: word for a row, for errors.

    Raises:
        ValueError: if it is not a finite matrix with one row for each of `n_rows`.
    """
    if y.ndim != 2 or len(y) != n_rows or n_rows == 0 or y.shape[1] == 0:
        raise ValueError(
            f"targets of shape {list(y.shape)} for {n_rows} structures or centers; give one row "
            "per structure (or center) and one column per target, and at least one of both"
        )
    bad = ~torch.isfinite(y).all(dim=1)
    if bool(bad.any()):
        raise ValueError(
            f"the target of {noun} {int(bad.nonzero()[0])} is not finite; remove its structure or "
            "repair its value"
        )
    return y.detach().to(torch.float64)


def balanced_weight(
    y: Float[Tensor, "row 1"], derived: Float[Tensor, " force"], noun: str = "forces"
) -> float:
    """The weight with which the squares of all targets and all forces have equal sums.

    1 Å where the baseline describes all targets, as it can with few structures: forces are then
    all there is to learn from.

    Args:
        y: targets.
        derived: forces, or stresses.
        noun: word for them, for errors.

    Raises:
        ValueError: if all of them vanish.
    """
    squares = float(derived.square().sum())
    if squares == 0:
        raise ValueError(
            f"all {noun} are zero; leave them out, or check the key and the unit of the {noun}"
        )
    weight = (float(y.square().sum()) / squares) ** 0.5
    return weight if weight > _ROUNDING else 1.0  # nothing is left of energies
