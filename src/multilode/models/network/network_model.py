"""Trained networks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.models.model import AbstractModel
from multilode.models.network.loss import energies_of
from multilode.models.network.network import FieldNetwork, NetworkSize
from multilode.models.summary import ModelSummary, PartSummary
from multilode.representation.field_set import Fields
from multilode.representation.representation import Representation

_SKELETONS: dict[str, FieldNetwork] = {}  # by size: their making takes longer than a small step


@final
@dataclass(frozen=True, kw_only=True)
class EpochErrors:
    """Errors in the course of a training, in units of the target and unit/Å.

    Args:
        epoch: epochs done.
        train: root mean squared error of forces in the last epoch, while weights changed; of
            energies over sqrt(atoms) where there are no forces.
        energy: of validation energies over sqrt(atoms), with averaged weights; None without a
            validation set.
        force: of validation forces; None without forces.
    """

    epoch: int
    train: float
    energy: float | None = None
    force: float | None = None


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class NetworkModel(AbstractModel):
    """y_A = sum_i e_i, the energies of atoms that a network gives.

    Args:
        size: shapes of the weights.
        weights: all parameters and scales, by name.
        history: errors in the course of the training.
    """

    size: NetworkSize
    weights: Mapping[str, Float[Tensor, "..."]]
    history: tuple[EpochErrors, ...] = ()

    def __repr__(self) -> str:
        count = sum(weight.numel() for weight in self.weights.values())
        rounds = f"{self.size.rounds} round{'s' if self.size.rounds > 1 else ''}"
        return f"NetworkModel({self.size.channels} channels, {rounds}, {count} weights)"

    @property
    def n_targets(self) -> int:
        """One energy."""
        return 1

    def predict(self, features: Fields) -> Float[Tensor, "structure 1"]:
        """Energies, differentiable in the positions and cells of the fields."""
        like = features.structures.positions
        weights = {name: weight.to(like) for name, weight in self.weights.items()}
        atoms = torch.func.functional_call(_skeleton(self.size), weights, (features,))[0]
        return energies_of(atoms, features.structure_index, features.n_structures)[:, None]

    def predict_with_std(
        self,
        features: Fields,  # noqa: ARG002 - the interface of a model
    ) -> tuple[Float[Tensor, "row target"], Float[Tensor, "row target"]]:
        """Not known.

        Raises:
            ValueError: always.
        """
        raise ValueError("a network has no standard deviations; train several with other seeds")

    def quadratic(self, representation: Representation) -> None:
        """None: a network multiplies more."""

    def deviations(self, features: Fields) -> None:
        """None: there are no members."""

    def combined(self, matrix: Float[Tensor, "target new"]) -> "NetworkModel":  # noqa: ARG002
        """Not possible: a network has one column.

        Raises:
            ValueError: always.
        """
        raise ValueError("a network predicts one energy, which cannot be a part of a tensor")

    def summary(self) -> ModelSummary:
        """Nothing was chosen by cross-validation."""
        return ModelSummary(parts=(PartSummary(),))


def _skeleton(size: NetworkSize) -> FieldNetwork:
    """The network without weights of its own."""
    key = repr(size)
    if key not in _SKELETONS:
        with torch.device("meta"):
            _SKELETONS[key] = FieldNetwork(size)
    return _SKELETONS[key]
