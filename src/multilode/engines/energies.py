"""Models that drive other programs: energies in eV, with all that can be said beside them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.engines.energy_target import energy_predictor
from multilode.errors import UserError
from multilode.models.committee.committee_model import spread_of
from multilode.models.network.network_committee import NetworkCommittee
from multilode.models.network.network_model import NetworkModel
from multilode.numerics.modes import own_modes
from multilode.prediction.model_baselines import model_of
from multilode.prediction.predictor import Predictor
from multilode.representation.field_set import Fields
from multilode.structures.batch import Structures

_SPACING = 1.7  # Å, between atoms that feel each other in any model
_EQUAL = 1e-9  # relative; sums of the same numbers in another order


@final
@dataclass(frozen=True)
class Energies:
    """Energies of structures or atoms in eV, with what is known of their errors.

    Args:
        values: of the model, the mean of the members of a committee.
        members: alpha times as far from their mean as they are, or of weights of a network that are
            as likely; None if there are none.
        std: standard deviations; None if the model has none.
    """

    values: Float[Tensor, " row"]
    members: Float[Tensor, "row member"] | None = None
    std: Float[Tensor, " row"] | None = None

    def chosen(self, rows: Int[Tensor, " chosen"]) -> "Energies":
        """Some rows, in the order given."""
        others = (part if part is None else part[rows] for part in (self.members, self.std))
        return Energies(self.values[rows], *others)

    def summed(self, owners: Int[Tensor, " row"], n: int) -> "Energies":
        """Sums over rows of the same owner; errors are those of sums of members.

        Args:
            owners: number of the sum that a row belongs to.
            n: number of sums.
        """
        values = self.values.new_zeros(n).index_add(0, owners, self.values)
        if self.members is None:
            return Energies(values)
        members = self.members.new_zeros(n, self.members.shape[1])
        members = members.index_add(0, owners, self.members)
        return Energies(values, members, members.std(dim=1))


@final
@dataclass(frozen=True, kw_only=True)
class EnergyModel:
    """A predictor of an energy that needs nothing but atoms.

    Args:
        predictor: of the energy.
        in_ev: size of its unit.
    """

    predictor: Predictor
    in_ev: float

    @staticmethod
    def of(predictor: Predictor | str | Path, unit: str | None = None) -> "EnergyModel":
        """The same model for other programs.

        Args:
            predictor: a trained model, or the file that holds one.
            unit: of its energies, where the model names none itself.

        Raises:
            ModelFileError: if the file cannot be used.
            UserError: if its target is no energy, in a unit of one, or it needs a calculator or
                numbers of atoms.
        """
        own, in_ev = energy_predictor(predictor, unit)
        _check(own)
        return EnergyModel(predictor=own, in_ev=in_ev)

    @own_modes()
    def energies(self, structures: Structures) -> Float[Tensor, " structure"]:
        """In eV, differentiable in positions and cells.

        Raises:
            StructureError: for a species that was not trained.
        """
        return self.in_ev * self.predictor.values(structures)[:, 0]

    @own_modes(gradients=True)
    def derivatives(
        self, structures: Structures
    ) -> tuple[
        Float[Tensor, " structure"], Float[Tensor, "atom 3"], Float[Tensor, "structure 3 3"]
    ]:
        """Energies in eV, forces in eV/Å and virials -dE/dstrain in eV, the sums of r F.

        Strains move the atoms along axes without a period too, unlike those of stresses.

        Raises:
            StructureError: for a species that was not trained.
        """
        found: Any = self.predictor.derivatives(structures, stress=True)
        values, slopes, strains = (self.in_ev * part for part in found)
        return values[:, 0], -slopes, -strains

    @own_modes()
    def atoms(self, structures: Structures) -> Float[Tensor, " atom"]:
        """Shares of the atoms in the energies, in eV: those of centers, and constants of species.

        Raises:
            StructureError: for a species that was not trained.
            ValueError: if the model has no energies of centers.
        """
        features = self.predictor.representation.compute(structures)
        return self._rows(structures, self._centers(features), per_atom=True)

    @own_modes()
    def with_spread(self, structures: Structures, *, per_atom: bool = False) -> "Energies":
        """Energies with all that the model knows of their errors, from the same features.

        Args:
            per_atom: the shares of atoms, as from `atoms`.

        Raises:
            StructureError: for a species that was not trained.
            ValueError: for shares of atoms if the model has none.
        """
        own = self.predictor
        features: Any = own.representation.compute(structures)
        if per_atom and isinstance(features, Fields):  # a network has members of structures only
            return Energies(self._rows(structures, self._centers(features), per_atom=True))
        described = features.per_center() if per_atom else features
        try:
            found = own.model.deviations(described)
            mean, std = found if found is not None else own.model.predict_with_std(described)
        except ValueError:  # of models that have no error bars
            found, mean, std = None, own.model.predict(described), None
        rows = self._rows(structures, mean[:, 0], per_atom=per_atom)
        if found is None:
            return Energies(rows, std=None if per_atom or std is None else self.in_ev * std[:, 0])
        apart = self.in_ev * found[1][:, :, 0]
        if per_atom:  # those that are no centers are sure
            centers = own.representation.centers_of(structures)
            apart = apart.new_zeros(len(rows), apart.shape[1]).index_copy(0, centers, apart)
        spread = spread_of(apart[:, :, None])[:, 0]
        if isinstance(own.model, NetworkModel):  # of whose likely weights these are a few, drawn
            spread = self.in_ev * own.model.predict_with_std(features)[1][:, 0]
            apart = apart - apart.mean(dim=1, keepdim=True)
        return Energies(rows, rows[:, None] + apart, spread)

    @property
    def has_atoms(self) -> bool:
        """Whether energies are sums over atoms, found by adding them up."""
        trial = self.trial()
        try:
            with torch.no_grad():
                atoms, whole = self.atoms(trial), self.energies(trial)
        except (RuntimeError, ValueError):  # shapes that do not fit: it knows structures alone
            return False
        return bool((atoms.sum() - whole[0]).abs() <= _EQUAL * (1 + atoms.abs().sum()))

    def trial(self) -> Structures:
        """Two atoms of each species in a bent line, on which a model can be asked what it knows."""
        species = torch.tensor(self.predictor.representation.species).repeat(2)
        n = len(species)
        steps = torch.arange(n, dtype=torch.float64)
        line = torch.stack([_SPACING * steps, 0.4 * steps.sin(), 0.4 * (steps % 2)], dim=1)
        return Structures(
            positions=line,
            species=species,
            cell=line.new_zeros(1, 3, 3),
            pbc=torch.zeros(1, 3, dtype=torch.bool),
            structure_index=torch.zeros(n, dtype=torch.int64),
        )

    def _centers(self, features: Any) -> Float[Tensor, " center"]:
        """Energies of centers without constants, in the unit of the model."""
        model = self.predictor.model
        if isinstance(model, NetworkModel | NetworkCommittee):
            return model.atoms(features)
        return model.predict(features.per_center())[:, 0]

    def _rows(
        self, structures: Structures, modelled: Float[Tensor, " _"], *, per_atom: bool
    ) -> Float[Tensor, " row"]:
        """With the constants of species, in eV; rows of atoms from those of centers."""
        own = self.predictor
        if not per_atom:
            constants = own.baseline.predict(structures).to(modelled)[:, 0]
            return self.in_ev * (modelled + constants)
        apart = structures.atoms_apart(torch.arange(structures.n_atoms))
        constants = own.baseline.predict(apart).to(modelled)[:, 0]
        centers = own.representation.centers_of(structures)
        return self.in_ev * constants.index_add(0, centers, modelled)


def _check(predictor: Predictor) -> None:
    """Refuse what needs more than atoms."""
    target, own = predictor.target, predictor.representation
    other: Any = model_of(predictor.baseline.model)
    if other is not None:
        raise UserError(
            f"the model predicts only what {other.name} leaves of '{target.key}', which other "
            "programs cannot add; use PredictorCalculator(model, baseline=calculator)"
        )
    if own.arrays:
        raise UserError(
            f"the model needs '{own.arrays[0]}' of each atom, which other programs do not hand "
            "over; train on sources or fragments that follow from positions"
        )
