"""Fitted committees, whose members are columns of one model."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.equivariants.features import Features
from multilode.models.committee.calibration import Calibration
from multilode.models.linear.quadratic_model import QuadraticModel
from multilode.models.model import AbstractModel
from multilode.models.summary import BarsSummary, ModelSummary
from multilode.representation.representation import Representation


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class CommitteeModel(AbstractModel):
    """The mean of the members, with error bars alpha times their standard deviation.

    Args:
        members: one model with columns [member, target]: features and kernels are computed once.
        n_members: number of members.
        calibration: alpha.
    """

    members: AbstractModel
    n_members: int
    calibration: Calibration

    def __repr__(self) -> str:
        return f"CommitteeModel({self.n_members} members: {self.members})"

    @property
    def n_targets(self) -> int:
        """Number of predicted columns."""
        return self.members.n_targets // self.n_members

    @cached_property
    def mean(self) -> AbstractModel:
        """The mean of the members as one model."""
        one = torch.eye(self.n_targets, dtype=torch.float64) / self.n_members
        return self.members.combined(one.repeat(self.n_members, 1))

    def predict(self, features: Features) -> Float[Tensor, "row target"]:
        """Mean of the members, differentiable in the features."""
        return self.mean.predict(features)

    def quadratic(self, representation: Representation) -> QuadraticModel | None:
        """That of the mean."""
        return self.mean.quadratic(representation)

    def deviations(
        self, features: Features
    ) -> tuple[Float[Tensor, "row target"], Float[Tensor, "row member target"]]:
        """Mean of the members, and by how much each differs from it, times alpha."""
        every = self.members.predict(features).unflatten(1, (self.n_members, -1))
        mean = every.mean(dim=1)
        return mean, (every - mean[:, None]) * self.calibration.scale.to(every)

    def predict_with_std(
        self, features: Features
    ) -> tuple[Float[Tensor, "row target"], Float[Tensor, "row target"]]:
        """Mean of the members and calibrated error bars."""
        mean, deviations = self.deviations(features)
        return mean, spread_of(deviations)

    def combined(self, matrix: Float[Tensor, "target new"]) -> AbstractModel:
        """The mean of the members, whose columns are linear combinations; without error bars."""
        return self.mean.combined(matrix)

    def summary(self) -> ModelSummary:
        """That of the members, and how the error bars were found."""
        found = self.members.summary()
        bars = BarsSummary(
            n_members=self.n_members,
            members=type(self.members).__name__,
            calibration=self.calibration,
        )
        return replace(found, parts=tuple(part.with_bars(bars) for part in found.parts))


def spread_of(
    deviations: Float[Tensor, "row member target"],
) -> Float[Tensor, "row target"]:
    """Standard deviation of the members."""
    return (deviations.square().sum(dim=1) / (deviations.shape[1] - 1)).sqrt()
