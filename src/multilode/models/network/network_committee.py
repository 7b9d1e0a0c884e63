"""Networks that differ in their first weights and the order of their batches, and their mean."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.models.committee.calibration import Calibration
from multilode.models.committee.committee_model import spread_of
from multilode.models.model import AbstractModel
from multilode.models.network.network_model import NetworkModel
from multilode.models.network.posterior import FEWEST
from multilode.models.summary import BarsSummary, ModelSummary, PartSummary
from multilode.representation.field_set import Fields
from multilode.representation.representation import Representation


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class NetworkCommittee(AbstractModel):
    """The mean of several networks, with error bars alpha times their standard deviation.

    Args:
        members: trained on the same structures.
        calibration: alpha, from structures that none was trained on; None where too few were set
            aside.
    """

    members: tuple[NetworkModel, ...]
    calibration: Calibration | None = None

    def __repr__(self) -> str:
        return f"NetworkCommittee({len(self.members)} x {self.members[0]})"

    @property
    def n_targets(self) -> int:
        """One energy."""
        return 1

    def predict(self, features: Fields) -> Float[Tensor, "structure 1"]:
        """Mean of the members, differentiable in the positions and cells of the fields."""
        return self.every(features).mean(dim=1)

    def atoms(self, features: Fields) -> Float[Tensor, " atom"]:
        """Mean of the energies of atoms."""
        return torch.stack([member.atoms(features) for member in self.members]).mean(dim=0)

    def every(self, features: Fields) -> Float[Tensor, "structure member 1"]:
        """What each member predicts."""
        return torch.stack([member.predict(features) for member in self.members], dim=1)

    def predict_with_std(
        self, features: Fields
    ) -> tuple[Float[Tensor, "structure 1"], Float[Tensor, "structure 1"]]:
        """Mean of the members, and calibrated error bars.

        Raises:
            ValueError: if too few structures were set aside to know how large errors are.
        """
        mean, apart = self.deviations(features)
        return mean, spread_of(apart)

    def quadratic(self, representation: Representation) -> None:
        """None: networks multiply more."""

    def deviations(
        self, features: Fields
    ) -> tuple[Float[Tensor, "structure 1"], Float[Tensor, "structure member 1"]]:
        """Mean of the members, and by how much each differs from it, times alpha.

        Raises:
            ValueError: as for `predict_with_std`.
        """
        if self.calibration is None:
            raise ValueError(
                "these networks have no error bars: their scale comes from structures that they "
                f"were not trained on, and fewer than {FEWEST} groups of these were set aside; "
                "train them with a larger estimator.validation"
            )
        every = self.every(features)
        mean = every.mean(dim=1)
        return mean, (every - mean[:, None]) * self.calibration.scale.to(every)

    def combined(self, matrix: Float[Tensor, "target new"]) -> "NetworkCommittee":
        """Not possible: a network has one column.

        Raises:
            ValueError: always.
        """
        self.members[0].combined(matrix)
        return self

    def summary(self) -> ModelSummary:
        """Its error bars; nothing was chosen by cross-validation."""
        if self.calibration is None:
            return ModelSummary(parts=(PartSummary(),))
        bars = BarsSummary(
            calibration=self.calibration, n_members=len(self.members), members="NetworkModel"
        )
        return ModelSummary(parts=(PartSummary(bars=bars),))
