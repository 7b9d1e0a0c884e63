"""From structures to predictions: a representation, a fitted model and a baseline together."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from multilode.data.inputs import Data, as_dataset
from multilode.equivariants.blocks import described
from multilode.errors import StructureError, renumber_errors
from multilode.models import AbstractModel
from multilode.models.linear.quadratic_model import QuadraticModel
from multilode.models.targets import Target
from multilode.prediction.baseline import FittedBaseline
from multilode.progress import Progress
from multilode.representation.batches import BATCH_ATOMS, batch_limits
from multilode.representation.representation import Representation
from multilode.structures.batch import Structures
from multilode.symmetry.cartesian import tensor_kind


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class Prediction:
    """Predicted values of structures, with forces, stress and standard deviations if wanted.

    Source: theory#gradients.

    Args:
        values: one number per structure, one row if the target has several columns, or one
            Cartesian tensor. Of targets of atoms, the same per atom, NaN where it is no center.
        forces: minus the gradient with respect to positions, in unit/Å, for the atoms in order.
        stress: derivative with respect to strain over the volume, in unit/Å^3; symmetric.
        std: standard deviations of the values.
    """

    values: Float[Tensor, "..."]
    forces: Float[Tensor, "atom 3"] | None = None
    stress: Float[Tensor, "structure 3 3"] | None = None
    std: Float[Tensor, "..."] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def numpy(self) -> dict[str, np.ndarray]:
        """The predicted numbers as arrays of NumPy, by name."""
        named = {"values": self.values, "forces": self.forces, "stress": self.stress}
        found = {name: x for name, x in {**named, "std": self.std}.items() if x is not None}
        return {name: x.detach().cpu().numpy() for name, x in found.items()}

    def __repr__(self) -> str:
        parts = {"values": self.values, "forces": self.forces, "stress": self.stress}
        named = {**parts, "std": self.std}.items()
        shapes = (f"{name} {list(x.shape)}" for name, x in named if x is not None)
        return f"Prediction({', '.join(shapes)}, {described(self.values)})"


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class Predictor:
    """A trained model, from structures to the target.

    Source: theory#gradients.

    Args:
        representation: computes the features.
        model: predicts the target less the baseline from the features.
        baseline: added to the model.
        target: name and unit of the predicted property.
    """

    representation: Representation
    model: AbstractModel
    baseline: FittedBaseline
    target: Target

    def __repr__(self) -> str:
        products = " + ".join(" x ".join(names) for names in self.representation.products)
        return f"Predictor({self.target.key!r} from {products},\n  {self.model})"

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

        Args:
            data: structures, a data set, or objects of ASE, whose own energies are not looked at.
            tolerance: relative accuracy of the expansions, for values and derivatives alike; None
                for that of the representation, with which the model was trained.
            batch_atoms: largest number of atoms in a batch (one structure is never divided).
            progress: called after each batch with the structures done and the structures in all.

        Raises:
            ValueError: for derivatives of a target of atoms or with several columns, for the stress
                of a structure that is not periodic in all directions, for the standard deviation of
                a model that has none, for a species that was not trained, or a tolerance that is
                out of range.
        """
        own = self if tolerance is None else self.with_tolerance(tolerance)
        wanted = {"forces": forces, "stress": stress, "std": std}
        dataset = as_dataset(data)
        with dataset.naming_frames():
            return own._predict(dataset.structures, wanted, batch_atoms, progress)

    def with_tolerance(self, tolerance: float | None) -> "Predictor":
        """The same model on expansions of another relative accuracy; None for the default.

        Raises:
            ValueError: if it is out of range.
        """
        return replace(self, representation=replace(self.representation, tolerance=tolerance))

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
        if wanted["forces"] or wanted["stress"]:
            self._check_derivatives()
        if wanted["stress"]:
            _check_periodic(structures)
        parts: list[Prediction] = []
        for start, stop in batch_limits(structures, batch_atoms):
            whole = (start, stop) == (0, structures.n_structures)
            batch = structures if whole else structures.select(torch.arange(start, stop))
            with renumber_errors(range(start, stop)):
                parts.append(self._predict_batch(batch, **wanted))
            if progress is not None:
                progress(stop, structures.n_structures)
        if not parts:
            raise ValueError("there is nothing to predict; give at least one structure")
        columns = {name: [getattr(part, name) for part in parts] for name in ("values", *wanted)}
        return Prediction(**{k: torch.cat(v) for k, v in columns.items() if v[0] is not None})

    def values(self, structures: Structures) -> Float[Tensor, "row target"]:
        """Predictions of one batch, differentiable in positions and cell.

        Rows are structures, or centers if the target is one of atoms.

        Raises:
            ValueError: for a species that was not trained.
        """
        if self._quadratic is not None:
            coefficients = self.target.features(self.representation.coefficients(structures))
            modelled = self._quadratic.predict(coefficients)
        else:
            modelled = self.model.predict(
                self.target.features(self.representation.compute(structures))
            )
        return self._with_baseline(modelled, structures)

    @cached_property
    def _quadratic(self) -> QuadraticModel | None:
        """The model as a form of coefficients, where it is one; features are then not written."""
        return self.model.quadratic(self.representation)

    def _with_baseline(
        self, modelled: Float[Tensor, "row target"], structures: Structures
    ) -> Float[Tensor, "row target"]:
        units = self.target.units(self.representation, structures)
        return modelled + self.baseline.predict(units).to(modelled.dtype)

    def _predict_batch(
        self, batch: Structures, *, forces: bool, stress: bool, std: bool
    ) -> Prediction:
        found: dict[str, Any] = {}
        if forces or stress:
            values, gradient, virial = self._differentiate(batch, stress=stress)
            found["forces"] = -gradient if forces else None
            if virial is not None:
                found["stress"] = virial / batch.volumes[:, None, None]
            if std:
                found["std"] = self._shaped(self._with_std(batch)[1], batch)
        elif std:
            values, spread = self._with_std(batch)
            found["std"] = self._shaped(spread, batch)
        else:
            with torch.no_grad():
                values = self.values(batch)
        return Prediction(values=self._shaped(values, batch), **found)

    @torch.no_grad()
    def _with_std(
        self, batch: Structures
    ) -> tuple[Float[Tensor, "row target"], Float[Tensor, "row target"]]:
        """Values and standard deviations from the same features."""
        features = self.target.features(self.representation.compute(batch))
        modelled, spread = self.model.predict_with_std(features)
        return self._with_baseline(modelled, batch), spread

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

    def _differentiate(
        self, batch: Structures, *, stress: bool
    ) -> tuple[
        Float[Tensor, "structure target"],
        Float[Tensor, "atom 3"],
        Float[Tensor, "structure 3 3"] | None,
    ]:
        """Values, their gradients, and their symmetric derivatives with respect to strain.

        Without a stress the cell is fixed, and what depends on it alone is taken from the cache.
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


def _check_periodic(structures: Structures) -> None:
    partial = ~structures.pbc.all(dim=1)
    if bool(partial.any()):
        raise StructureError(
            "is not periodic in all three directions and has no stress; predict it without stress",
            int(partial.nonzero()[0]),
        )
