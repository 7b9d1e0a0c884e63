"""Committees: several models of the same kind, each fitted to a part of the data."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from multilode.equivariants.features import Features
from multilode.models.calibration import calibrate
from multilode.models.committee_model import CommitteeModel
from multilode.models.environments import EnvironmentTerms
from multilode.models.kernel import KernelRidge
from multilode.models.model import AbstractEstimator, Draw, Learner, Some, check_targets
from multilode.models.pooling import PooledFeatures
from multilode.models.primal import Subsets
from multilode.models.ridge import Ridge
from multilode.models.sparse_kernel import SparseDesign, SparseKernelRidge
from multilode.models.targets import Reduce

MemberDesign = PooledFeatures | EnvironmentTerms | SparseDesign


@final
@dataclass(frozen=True, kw_only=True)
class Committee(AbstractEstimator[MemberDesign]):
    """Members fitted to random parts of the structures; their spread, calibrated, is an error bar.

    Regularization and term weights are chosen once, on all structures, and shared. Predictions are
    the mean of the members. Source: Grisafi2021, section 4.2; theory, section 5.

    Args:
        estimator: what the members are.
        n_members: number of members.
        fraction: part of the structures (of the groups, where there are groups) that each member
            is fitted to.
        seed: of the random parts.

    Raises:
        ValueError: if a setting is out of range.
    """

    estimator: Ridge | KernelRidge | SparseKernelRidge
    n_members: int = 8
    fraction: float = 0.8
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_members < 3:
            raise ValueError(
                f"a committee of n_members {self.n_members} has no spread to speak of; use 3 or "
                "more"
            )
        if not 0 < self.fraction < 1:
            raise ValueError(
                f"the fraction of a committee is {self.fraction}; it must lie between 0 and 1, so "
                "that each member leaves out some structures"
            )

    @property
    def reduce(self) -> Reduce:
        """Sum over centers (extensive) or mean (intensive)."""
        return self.estimator.reduce

    def explore(self, some: Some[Features], centers: tuple[int, ...]) -> Any:
        """What one member needs to know before."""
        return self.estimator.explore(some, centers)

    def collect(
        self, batches: Iterable[Features], centers: tuple[int, ...], known: Any = None
    ) -> MemberDesign:
        """What one member needs to know of the structures, which all share."""
        return self.estimator.collect(batches, centers, known)

    def design_of(
        self, features: Features, centers: tuple[int, ...], known: Any = None
    ) -> MemberDesign:
        """What one member needs to know of one batch."""
        return self.estimator.design_of(features, centers, known)

    def fit(
        self,
        design: MemberDesign,
        y: Float[Tensor, "structure target"],
        *,
        groups: Int[Tensor, " structure"] | None = None,
    ) -> CommitteeModel:
        """Fit all members and calibrate their spread on what they left out.

        Raises:
            ValueError: if shapes disagree, numbers are not finite or data are too few.
        """
        y = check_targets(y, design.n_structures)
        subsets = self.draw(len(y), groups)
        members, columns = self.estimator.fit_members(design, y, subsets=subsets, groups=groups)
        predictions = columns.unflatten(1, (self.n_members, -1))
        return CommitteeModel(
            members=members,
            n_members=self.n_members,
            calibration=calibrate(predictions, _left_out(subsets, len(y)), y),
        )

    def learner(
        self,
        train: MemberDesign,
        test: MemberDesign,
        groups: Int[Tensor, " structure"] | None = None,
    ) -> Learner:
        """Fit to a subset, predict `test` by the mean of the members."""
        draw: Draw = self.draw
        members = self.estimator.learner(train, test, groups, draw=draw)

        def predict(
            indices: Int[Tensor, " chosen"], y: Float[Tensor, "chosen target"]
        ) -> Float[Tensor, "test target"]:
            return members(indices, y).unflatten(1, (self.n_members, -1)).mean(dim=1)

        return predict

    def with_settings(self, **settings: Any) -> "Committee":
        """The same committee, its members with other settings."""
        return replace(self, estimator=self.estimator.with_settings(**settings))

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
