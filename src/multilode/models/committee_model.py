"""Fitted committees, whose members are columns of one model."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.equivariants.features import Features
from multilode.models.calibration import Calibration
from multilode.models.kernel_model import KernelModel
from multilode.models.model import AbstractModel
from multilode.models.ridge import RidgeModel
from multilode.models.sparse_model import SparseKernelModel
from multilode.models.targets import Reduce

Member = RidgeModel | KernelModel | SparseKernelModel

_MEMBERS: dict[str, type[Member]] = {
    "ridge": RidgeModel,
    "kernel": KernelModel,
    "sparse": SparseKernelModel,
}


@final
@dataclass(frozen=True, kw_only=True)
class CommitteeModel(AbstractModel):
    """The mean of the members, with error bars alpha times their standard deviation.

    Args:
        members: one model with columns [member, target]: features and kernels are computed once.
        n_members: number of members.
        calibration: alpha.
    """

    members: Member
    n_members: int
    calibration: Calibration

    @property
    def n_targets(self) -> int:
        """Number of predicted columns."""
        return self.members.n_targets // self.n_members

    @property
    def reduce(self) -> Reduce:
        """Sum over centers (extensive) or mean (intensive)."""
        return self.members.reduce

    @cached_property
    def mean(self) -> Member:
        """The mean of the members as one model."""
        one = torch.eye(self.n_targets).to(self.members.intercept) / self.n_members
        return self.members.combined(one.repeat(self.n_members, 1))

    def predict(self, features: Features) -> Float[Tensor, "structure target"]:
        """Mean of the members, differentiable in the features."""
        return self.mean.predict(features)

    def deviations(
        self, features: Features
    ) -> tuple[Float[Tensor, "structure target"], Float[Tensor, "structure member target"]]:
        """Mean of the members, and by how much each differs from it, times alpha."""
        every = self.members.predict(features).unflatten(1, (self.n_members, -1))
        mean = every.mean(dim=1)
        return mean, (every - mean[:, None]) * self.calibration.scale.to(every)

    def predict_with_std(
        self, features: Features
    ) -> tuple[Float[Tensor, "structure target"], Float[Tensor, "structure target"]]:
        """Mean of the members and calibrated error bars."""
        mean, deviations = self.deviations(features)
        return mean, spread_of(deviations)

    def tensors(self) -> dict[str, Tensor]:
        """The numbers of the model, by name, for a file."""
        return {**self.members.tensors(), **self.calibration.tensors()}

    def settings(self) -> dict[str, Any]:
        """Those of the members, and of the committee under its name."""
        kinds = {cls: kind for kind, cls in _MEMBERS.items()}
        committee = {
            "kind": kinds[type(self.members)],
            "n_members": self.n_members,
            "calibration": self.calibration.summary(),
        }
        return {**self.members.settings(), "committee": committee}

    @classmethod
    def from_parts(
        cls, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]
    ) -> "CommitteeModel":
        """The model back from `tensors()` and `settings()`."""
        own = settings["committee"]
        return cls(
            members=_MEMBERS[own["kind"]].from_parts(tensors, settings),
            n_members=own["n_members"],
            calibration=Calibration.from_parts(tensors, own["calibration"]),
        )


def spread_of(
    deviations: Float[Tensor, "structure member target"],
) -> Float[Tensor, "structure target"]:
    """Standard deviation of the members."""
    return (deviations.square().sum(dim=1) / (deviations.shape[1] - 1)).sqrt()
