"""Trained networks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.models.model import AbstractModel
from multilode.models.network.loss import energies_of
from multilode.models.network.network import FieldNetwork, NetworkSize
from multilode.models.network.posterior import FEWEST, LastLayerPosterior, structure_features
from multilode.models.summary import BarsSummary, ModelSummary, PartSummary
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
        virial: of stresses times volume over sqrt(atoms); None without stresses.
        component: of components of tensors; None of energies. `train` is then of these, too.
    """

    epoch: int
    train: float
    energy: float | None = None
    force: float | None = None
    virial: float | None = None
    component: float | None = None

    def __str__(self) -> str:
        apart = {
            "forces": self.force,
            "energies over sqrt(atoms)": self.energy,
            "stress times volume over sqrt(atoms)": self.virial,
            "components": self.component,
        }
        known = [f"{value:.4g} of {name}" for name, value in apart.items() if value is not None]
        of_validation = f"; of the validation set {', '.join(known)}" if known else ""
        return f"error {self.train:.4g} while training{of_validation}"


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class NetworkModel(AbstractModel):
    """y_A = sum_i e_i, the energies of atoms that a network gives.

    Args:
        size: shapes of the weights.
        weights: all parameters and scales, by name.
        history: errors in the course of the training.
        best_epoch: whose weights these are, chosen by validation; None for the last.
        posterior: error bars; None where too few structures were set aside for validation.
    """

    size: NetworkSize
    weights: Mapping[str, Float[Tensor, "..."]]
    history: tuple[EpochErrors, ...] = ()
    best_epoch: int | None = None
    posterior: LastLayerPosterior | None = None

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
        return energies_of(self._atoms(features)[0], *owners(features))[:, None]

    def predict_with_std(
        self, features: Fields
    ) -> tuple[Float[Tensor, "structure 1"], Float[Tensor, "structure 1"]]:
        """Energies and calibrated error bars.

        Raises:
            ValueError: if too few structures were set aside to know how large errors are.
        """
        posterior = self._known_posterior()
        energies, linear = self._energies_and_features(features)
        return energies, posterior.std(linear)[:, None]

    def quadratic(self, representation: Representation) -> None:
        """None: a network multiplies more."""

    def deviations(
        self, features: Fields
    ) -> tuple[Float[Tensor, "structure 1"], Float[Tensor, "structure sample 1"]]:
        """Energies, and how far they are off for weights that are as likely.

        Raises:
            ValueError: as for `predict_with_std`.
        """
        posterior = self._known_posterior()
        energies, linear = self._energies_and_features(features)
        return energies, posterior.deviations(linear)[:, :, None]

    def atoms(self, features: Fields) -> Float[Tensor, " atom"]:
        """Energies of atoms, whose sums are those of structures."""
        return self._atoms(features)[0].double()

    def _atoms(
        self, features: Fields
    ) -> tuple[Float[Tensor, " atom"], Float[Tensor, "atom hidden"]]:
        """Energies of atoms and last layers."""
        return on_fields(self.size, self.weights, features)

    def _energies_and_features(
        self, features: Fields
    ) -> tuple[Float[Tensor, "structure 1"], Float[Tensor, "structure feature"]]:
        """Energies, and what they are linear in."""
        atoms, layers = self._atoms(features)
        own = owners(features)
        linear = structure_features(layers, features.kinds, *own, self.size.n_species)
        return energies_of(atoms, *own)[:, None], linear

    def _known_posterior(self) -> LastLayerPosterior:
        if self.posterior is None:
            raise ValueError(
                "this network has no error bars: their scale comes from structures that it was not "
                f"trained on, and fewer than {FEWEST} groups of these were set aside; train it "
                "with a larger estimator.validation"
            )
        return self.posterior

    def combined(self, matrix: Float[Tensor, "target new"]) -> "NetworkModel":  # noqa: ARG002
        """Not possible: a network has one column.

        Raises:
            ValueError: always.
        """
        raise ValueError("a network predicts one energy, which cannot be a part of a tensor")

    def summary(self) -> ModelSummary:
        """Its error bars; nothing was chosen by cross-validation."""
        if self.posterior is None:
            return ModelSummary(parts=(PartSummary(),))
        bars = BarsSummary(calibration=self.posterior.calibration)
        return ModelSummary(parts=(PartSummary(bars=bars),))


def on_fields(
    size: NetworkSize, weights: Mapping[str, Float[Tensor, "..."]], features: Fields
) -> tuple[Float[Tensor, "atom ..."], Float[Tensor, "atom hidden"]]:
    """What a network with these weights gives for atoms, and its last layers."""
    like = features.structures.positions
    own = {name: weight.to(like) for name, weight in weights.items()}
    return torch.func.functional_call(_skeleton(size), own, (features,))


def owners(features: Fields) -> tuple[Int[Tensor, " atom"], int]:
    """Structure of each atom, and their number."""
    return features.structure_index, features.n_structures


def _skeleton(size: NetworkSize) -> FieldNetwork:
    """The network without weights of its own."""
    key = repr(size)
    if key not in _SKELETONS:
        with torch.device("meta"):
            _SKELETONS[key] = FieldNetwork(size)
    return _SKELETONS[key]
