"""From structures to predictions: a representation, a fitted model and a baseline together."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from multilode.data.dataset import Dataset
from multilode.data.inputs import Data, as_dataset
from multilode.equivariants.blocks import described
from multilode.errors import renumber_errors
from multilode.models import AbstractModel
from multilode.models.committee.committee_model import spread_of
from multilode.models.linear.quadratic_model import QuadraticModel
from multilode.models.targets import Target
from multilode.numerics.modes import own_modes
from multilode.prediction.baseline import FittedBaseline
from multilode.prediction.data_checks import check_finite, warn_of_undescribed
from multilode.prediction.known_environments import KnownEnvironments
from multilode.prediction.members import member_deviations
from multilode.prediction.model_baselines import ModelValues, model_of
from multilode.prediction.stress import check_stress, stress_of
from multilode.progress import Progress
from multilode.representation.batches import BATCH_ATOMS, batch_limits
from multilode.representation.field_set import FieldSet
from multilode.representation.representation import Representation
from multilode.scheduling import mapped
from multilode.structures.batch import Structures
from multilode.structures.periods import along_periods
from multilode.symmetry.cartesian import tensor_kind

_NUMBERS = ("values", "forces", "stress", "std", "forces_std")  # of a prediction


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class Prediction:
    """Predicted values of structures, with forces, stress and standard deviations if wanted.

    Source: theory#gradients.

    Args:
        values: one number per structure, one row if the target has several columns, or one
            Cartesian tensor. Of targets of atoms, the same per atom, NaN where it is no center.
        forces: minus the gradient with respect to positions, in unit/Å, for the atoms in order.
        stress: derivative with respect to strain over the volume, in unit/Å^3; symmetric. Of
            layers and wires it has components along the periodic directions only.
        std: standard deviations of the values.
        forces_std: standard deviations of the components of forces, where members of a committee
            tell them.
        baseline: what the baseline alone says, a part of the above; its forces and stress are those
            of another model, None if there is none.
    """

    values: Float[Tensor, "..."]
    forces: Float[Tensor, "atom 3"] | None = None
    stress: Float[Tensor, "structure 3 3"] | None = None
    std: Float[Tensor, "..."] | None = None
    forces_std: Float[Tensor, "atom 3"] | None = None
    baseline: "Prediction | None" = None

    def __len__(self) -> int:
        return len(self.values)

    def numpy(self) -> dict[str, np.ndarray]:
        """The predicted numbers as arrays of NumPy, by name."""
        return {name: x.detach().cpu().numpy() for name, x in self._known().items()}

    def __repr__(self) -> str:
        shapes = (f"{name} {list(x.shape)}" for name, x in self._known().items())
        return f"Prediction({', '.join(shapes)}, {described(self.values)})"

    def _known(self) -> dict[str, Tensor]:
        named = {name: getattr(self, name) for name in _NUMBERS}
        return {name: x for name, x in named.items() if x is not None}


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class Predictor:
    """A trained model, from structures to the target.

    Source: theory#gradients.

    Args:
        representation: computes the features.
        model: predicts the target less the baseline from the features.
        baseline: added to the model, with the values of another model if it is one.
        target: name and unit of the predicted property.
        known: environments of the training set; None if the model is from before they were kept.
    """

    representation: Representation | FieldSet
    model: AbstractModel
    baseline: FittedBaseline
    target: Target
    known: KnownEnvironments | None = None

    def __repr__(self) -> str:
        products = " + ".join(" x ".join(names) for names in self.representation.products)
        return f"Predictor({self.target.key!r} from {products},\n  {self.model})"

    @own_modes(gradients=True)
    def predict(
        self,
        data: Data,
        *,
        forces: bool = False,
        stress: bool = False,
        std: bool = False,
        tolerance: float | None = None,
        batch_atoms: int = BATCH_ATOMS,
        progress: Progress | None = None,
    ) -> Prediction:
        """Predict all structures, in batches; derivatives take one backward pass per batch.

        The stress is sigma = (1/V) dE/dstrain with the sign that ASE uses: positive under tension.
        Of layers and wires it is that of strains along the periodic directions, over the volume of
        the cell as it is given, vacuum included.

        Args:
            data: structures, a data set, or objects of ASE, whose own energies are not looked at.
            tolerance: relative accuracy of the expansions, for values and derivatives alike; None
                for that of the representation, with which the model was trained.
            batch_atoms: largest number of atoms in a batch (one structure is never divided).
            progress: called after each batch with the structures done and the structures in all.

        Raises:
            ValueError: for derivatives of a target of atoms or with several columns, for the stress
                of a structure without a period or a volume, for the standard deviation of a model
                that has none, for a species that was not trained, if the baseline is another model
                whose calculator was not given, or a tolerance is out of range.
            DataError: if the baseline is columns of the data that a structure lacks.

        Warns:
            DataWarning: if a structure has no atom that carries features.
        """
        if forces or stress:
            self._check_derivatives()
        arrays = self.representation.arrays
        results = bool(arrays) or model_of(self.baseline.model) is not None
        dataset = as_dataset(data, results=results).with_arrays(arrays)
        wanted = {"forces": forces, "stress": stress}
        with dataset.naming_frames():
            if stress:
                check_stress(dataset.structures)
            rest = self.without_model()
            if tolerance is not None:
                rest = rest.with_tolerance(tolerance)
            found = rest._predict(dataset.structures, {**wanted, "std": std}, batch_atoms, progress)
            if self.target.per == "structure":
                warn_of_undescribed(self.representation, dataset)
            return self.completed(found, dataset)

    def with_tolerance(self, tolerance: float | None) -> "Predictor":
        """The same model on expansions of another relative accuracy; None for the default.

        Raises:
            ValueError: if it is out of range.
        """
        return replace(self, representation=replace(self.representation, tolerance=tolerance))

    def with_calculator(self, calculator: Any) -> "Predictor":
        """The same, whose baseline is computed by a calculator of ASE.

        Args:
            calculator: of the class that the model was trained with; where the baseline is columns
                of the data, the one whose values these are.

        Raises:
            ValueError: if the baseline is no other model, or one of another class.

        Warns:
            DataWarning: if a parameter of the calculator differs from that of the training.
        """
        other = model_of(self.baseline.model)
        if other is None:
            raise ValueError(
                f"this model of '{self.target.key}' has no other model as its baseline; leave the "
                "calculator out"
            )
        given = other.computed_by(calculator)
        given.check(self.target, forces=False)
        return replace(self, baseline=replace(self.baseline, model=given))

    def without_model(self) -> "Predictor":
        """What was fitted alone: the target less the other model that is the baseline, if it is."""
        if self.baseline.model is None:
            return self
        return replace(self, baseline=replace(self.baseline, model=None))

    def completed(self, found: Prediction, dataset: Dataset) -> Prediction:
        """With the values of the other model that is the baseline, if it is.

        Args:
            found: from `without_model()`; its forces and stresses are completed too.
            dataset: the same structures, with the columns that the baseline may need.

        Raises:
            ValueError: if the calculator of the baseline was not given.
            DataError: if the baseline is columns of the data that a structure lacks.
        """
        other, wanted = model_of(self.baseline.model), ("forces", "stress")
        given = {name: getattr(found, name) is not None for name in wanted}
        added = other and other.values(dataset, self.target, **given)
        return self._summed(found, added, dataset.structures)

    def _summed(
        self, found: Prediction, added: ModelValues | None, structures: Structures
    ) -> Prediction:
        """With the values of another model, and what the whole baseline says beside it."""
        units = self.target.units(self.representation, structures)
        own = self._shaped(self.baseline.predict(units), structures).to(found.values)
        if added is None:
            return replace(found, baseline=Prediction(values=own))
        more = added.values.to(found.values).reshape(own.shape)
        summed: dict[str, Any] = {"values": found.values + more}
        part: dict[str, Any] = {"values": own + more}
        if found.forces is not None and added.forces is not None:
            part["forces"] = added.forces.to(found.forces)
            summed["forces"] = found.forces + part["forces"]
        if found.stress is not None and added.stress is not None:
            part["stress"] = along_periods(added.stress.to(found.stress), structures)
            summed["stress"] = found.stress + part["stress"]
        return replace(found, **summed, baseline=Prediction(**part))

    def _check_derivatives(self) -> None:
        if self.target.per == "atom":
            raise ValueError(
                f"forces and stress need a target of structures, '{self.target.key}' is one of "
                "atoms; train on an energy"
            )
        if self.model.n_targets != 1:
            raise ValueError(
                f"forces and stress need a target with one column, '{self.target.key}' has "
                f"{self.model.n_targets}; train one model per column"
            )

    def _predict(
        self,
        structures: Structures,
        wanted: dict[str, bool],
        batch_atoms: int,
        progress: Progress | None,
    ) -> Prediction:
        parts: list[Prediction] = []
        limits = batch_limits(structures, batch_atoms)
        for (_, stop), part in zip(
            limits, mapped(_predicted, limits, self, structures, wanted), strict=True
        ):
            parts.append(part)
            if progress is not None:
                progress(stop, structures.n_structures)
        if not parts:
            raise ValueError("there is nothing to predict; give at least one structure")
        columns = {name: [getattr(part, name) for part in parts] for name in _NUMBERS}
        found: dict[str, Any] = {
            name: torch.cat(values) for name, values in columns.items() if values[0] is not None
        }
        return Prediction(**found)

    @own_modes()
    def values(self, structures: Structures) -> Float[Tensor, "row target"]:
        """Predictions of one batch, differentiable in positions and cell.

        Rows are structures, or centers if the target is one of atoms.

        Raises:
            ValueError: for a species that was not trained, or if the baseline is another model,
                which gives numbers only.
        """
        if self.baseline.model is not None:
            raise ValueError(
                "the baseline of this model is another model, whose values cannot be "
                "differentiated here; use predict, or predictor.without_model()"
            )
        return self._with_baseline(self._modelled(structures), structures)

    def _modelled(self, structures: Structures) -> Float[Tensor, "row target"]:
        """The target less the baseline; of a quadratic form features are not written."""
        own = self.representation
        if isinstance(own, Representation) and self._quadratic is not None:
            return self._quadratic.predict(self.target.features(own.coefficients(structures)))
        return self.model.predict(self.target.features(own.compute(structures)))

    @cached_property
    def _quadratic(self) -> QuadraticModel | None:
        own = self.representation
        return self.model.quadratic(own) if isinstance(own, Representation) else None

    def _with_baseline(
        self, modelled: Float[Tensor, "row target"], structures: Structures
    ) -> Float[Tensor, "row target"]:
        units = self.target.units(self.representation, structures)
        return modelled + self.baseline.predict(units).to(modelled.dtype)

    @own_modes(gradients=True)
    def _predict_batch(
        self, batch: Structures, *, forces: bool, stress: bool, std: bool
    ) -> Prediction:
        found: dict[str, Any] = {}
        if forces or stress:
            values, gradient, virial = self.derivatives(batch, stress=stress)
            found["forces"] = -gradient if forces else None
            if virial is not None:
                found["stress"] = stress_of(virial, batch)
            if std:
                found["std"] = self._shaped(self._with_std(batch)[1], batch)
                found["forces_std"] = self._forces_std(batch) if forces else None
        elif std:
            values, spread = self._with_std(batch)
            found["std"] = self._shaped(spread, batch)
        else:
            with torch.no_grad():
                values = self.values(batch)
        owners = torch.arange(batch.n_structures)
        if self.target.per == "atom":
            owners = batch.structure_index[self.representation.centers_of(batch)]
        check_finite(values, owners)
        return Prediction(values=self._shaped(values, batch), **found)

    @torch.no_grad()
    def _with_std(
        self, batch: Structures
    ) -> tuple[Float[Tensor, "row target"], Float[Tensor, "row target"]]:
        """Values and standard deviations from the same features."""
        features = self.target.features(self.representation.compute(batch))
        modelled, spread = self.model.predict_with_std(features)
        return self._with_baseline(modelled, batch), spread

    def _forces_std(self, batch: Structures) -> Float[Tensor, "atom 3"] | None:
        """Spread of the forces of the members, times alpha; None if there are no members."""
        found = member_deviations(self.representation, self.model, self.target, batch, forces=True)
        return None if found is None or found.forces is None else spread_of(found.forces)

    def _shaped(
        self, values: Float[Tensor, "row target"], batch: Structures
    ) -> Float[Tensor, "_ ..."]:
        if self.target.per == "atom":
            everywhere = values.new_full((batch.n_atoms, values.shape[1]), torch.nan)
            everywhere[self.representation.centers_of(batch)] = values
            values = everywhere
        if self.target.tensor is not None:
            return values.reshape(len(values), *tensor_kind(self.target.tensor).shape)
        return values[:, 0] if values.shape[1] == 1 else values

    @own_modes(gradients=True)
    def derivatives(
        self, batch: Structures, *, stress: bool
    ) -> tuple[
        Float[Tensor, "structure target"],
        Float[Tensor, "atom 3"],
        Float[Tensor, "structure 3 3"] | None,
    ]:
        """Values, their gradients, and their symmetric derivatives with respect to strain.

        Strains move atoms along axes without a period too; `stress_of` leaves these out. Without a
        stress the cell is fixed, and what depends on it alone is taken from the cache.

        Args:
            batch: the structures.
            stress: whether strains are looked at; None in their place otherwise.
        """
        positions = batch.positions.detach().clone().requires_grad_()
        moving, leaves = replace(batch, positions=positions), [positions]
        if stress:
            strain = torch.zeros_like(batch.cell).requires_grad_()
            shifts = torch.einsum("ax,axy->ay", positions, strain[batch.structure_index])
            cell = batch.cell.detach()
            moving = replace(batch, positions=positions + shifts, cell=cell + cell @ strain)
            leaves.append(strain)
        values = self.values(moving)
        if not values.requires_grad:  # no center anywhere: nothing depends on the positions
            gradients = [torch.zeros_like(leaf) for leaf in leaves]
        else:
            gradients = torch.autograd.grad(values.sum(), leaves)
        virial = (gradients[1] + gradients[1].mT) / 2 if stress else None
        return values.detach(), gradients[0], virial


def _predicted(
    limits: tuple[int, int], predictor: Predictor, structures: Structures, wanted: dict[str, bool]
) -> Prediction:
    """The structures between two limits."""
    start, stop = limits
    whole = limits == (0, structures.n_structures)
    batch = structures if whole else structures.select(torch.arange(start, stop))
    with renumber_errors(range(start, stop)):
        return predictor._predict_batch(batch, **wanted)
