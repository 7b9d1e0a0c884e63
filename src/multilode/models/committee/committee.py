"""Committees: several models of the same kind, each fitted to a part of the data."""

from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from multilode.models.committee.calibration import calibrate
from multilode.models.committee.committee_model import CommitteeModel
from multilode.models.model import (
    AbstractDesign,
    AbstractEstimator,
    AbstractMap,
    AbstractSolution,
    Subsets,
)
from multilode.models.problem import Problem, SampleFeatures
from multilode.models.rows import Rows, Terms


@final
@dataclass(frozen=True, kw_only=True)
class CommitteeSolution(AbstractSolution):
    """The members as columns of one solution.

    Args:
        members: with columns [member, target].
        rows: rows that they were fitted to.
        subsets: the targets of each member.
    """

    members: AbstractSolution
    rows: Rows
    subsets: Subsets

    def predict(self, terms: Terms) -> Float[Tensor, "row target"]:
        """Mean of the members."""
        return self._every(terms).mean(dim=1)

    def model(self, design: AbstractDesign) -> CommitteeModel:
        """Calibrate the spread of the members on the rows that they left out.

        Raises:
            ValueError: if too few rows were left out.
        """
        n = self.rows.n_targets
        first = self._every(tuple(term[:n] for term in self.rows.terms))
        predictions = self.rows.unweighted(first)
        return CommitteeModel(
            members=self.members.model(design),
            n_members=len(self.subsets),
            calibration=calibrate(
                predictions, _left_out(self.subsets, n), self.rows.unweighted(self.rows.y[:n])
            ),
        )

    def _every(self, terms: Terms) -> Float[Tensor, "row member target"]:
        return self.members.predict(terms).unflatten(1, (len(self.subsets), -1))


@final
@dataclass(frozen=True, kw_only=True)
class Committee(AbstractEstimator):
    """Members fitted to random parts of the structures; their spread, calibrated, is an error bar.

    Regularization and term weights are chosen once, on all structures, and shared. Predictions are
    the mean of the members.

    Source: theory#committee; Grisafi2021 section 4.2; Musil2019.

    Args:
        estimator: that of the members: any but a committee.
        n_members: number of members.
        fraction: part of the structures (of the groups, where there are groups) that each member
            is fitted to.
        seed: of the random parts.

    Raises:
        ValueError: if a setting is out of range.
    """

    estimator: AbstractEstimator
    n_members: int = 8
    fraction: float = 0.8
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_members < 3:
            raise ValueError(
                f"a committee of n_members {self.n_members} is too small to estimate a spread; use "
                "at least 3 members"
            )
        if not 0 < self.fraction < 1:
            raise ValueError(
                f"the fraction of a committee is {self.fraction}; it must lie between 0 and 1, so "
                "that each member leaves out some structures"
            )

    @property
    def uses_invariants(self) -> bool:
        """Whether the members do."""
        return self.estimator.uses_invariants

    def map(self, problem: Problem, sample: SampleFeatures) -> AbstractMap[Any]:
        """That of one member, which all share."""
        return self.estimator.map(problem, sample)

    def solve(self, rows: Rows, *, subsets: Subsets | None = None) -> CommitteeSolution:
        """Solve for all members.

        Raises:
            ValueError: if there are too few rows, or members are committees themselves.
        """
        if subsets is not None:
            raise ValueError("the members of a committee are committees; give another estimator")
        groups = None if rows.groups is None else rows.groups[: rows.n_targets]
        drawn = self.draw(rows.n_targets, groups)
        members = self.estimator.solve(rows, subsets=drawn)
        return CommitteeSolution(members=members, rows=rows, subsets=drawn)

    def draw(self, n: int, groups: Int[Tensor, " row"] | None) -> tuple[Tensor, ...]:
        """Rows of each member, ascending.

        Args:
            n: number of rows.
            groups: rows with equal numbers are in or out together.

        Raises:
            ValueError: if there are fewer than two rows or groups.
        """
        numbers = torch.arange(n) if groups is None else groups.unique(return_inverse=True)[1]
        n_groups = int(numbers.max()) + 1 if n else 0
        if n_groups < 2:
            raise ValueError(
                f"a committee needs at least 2 structures or groups, got {n_groups}; add data"
            )
        kept = min(max(round(self.fraction * n_groups), 1), n_groups - 1)
        generator = torch.Generator().manual_seed(self.seed)
        orders = (torch.randperm(n_groups, generator=generator) for _ in range(self.n_members))
        return tuple(torch.isin(numbers, order[:kept]).nonzero()[:, 0] for order in orders)


def _left_out(subsets: Subsets, n: int) -> Bool[Tensor, "row member"]:
    result = torch.ones(n, len(subsets), dtype=torch.bool)
    for member, rows in enumerate(subsets):
        result[rows, member] = False
    return result
