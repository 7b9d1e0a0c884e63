"""From structures to predictions: a representation, a fitted model and a baseline together."""

from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.equivariants.equivariant_features import EquivariantFeatures
from multilode.equivariants.features import Features
from multilode.errors import StructureError, renumber_errors
from multilode.models import AbstractEstimator, AbstractModel
from multilode.models.model import check_targets
from multilode.models.targets import Forces, Target, as_columns
from multilode.prediction.baseline import AbstractBaseline, FittedBaseline
from multilode.prediction.designs import collect_design, explore
from multilode.prediction.task import (
    baseline_of,
    estimator_of,
    rows_of,
    target_rows,
    with_irreps,
)
from multilode.progress import Progress
from multilode.representation.batches import BATCH_ATOMS, batch_limits
from multilode.representation.recipe import Representation
from multilode.structures.batch import Structures
from multilode.symmetry.cartesian import tensor_kind

__all__ = ["Prediction", "Predictor", "Target", "train"]


@final
@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a predictor says about a batch of structures.

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


@final
@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A trained model, from structures to the target.

    Args:
        representation: computes the features.
        model: predicts the target less the baseline from the features.
        baseline: added to the model.
        target: name and unit of what is predicted.
    """

    representation: Representation
    model: AbstractModel
    baseline: FittedBaseline
    target: Target

    def predict(
        self,
        structures: Structures,
        *,
        forces: bool = False,
        stress: bool = False,
        std: bool = False,
        batch_atoms: int = BATCH_ATOMS,
        progress: Progress | None = None,
    ) -> Prediction:
        """Predict all structures, in batches; derivatives take one backward pass per batch.

        The stress is sigma = (1/V) dE/dstrain with the sign that ASE uses: positive under tension.

        Args:
            batch_atoms: largest number of atoms in a batch (one structure is never divided).
            progress: called after each batch with the structures done and the structures in all.

        Raises:
            ValueError: for derivatives of a target of atoms or with several columns, for the stress
                of a structure that is not periodic in all directions, for the standard deviation of
                a model that has none, or for a species that was not trained.
        """
        if (forces or stress) and self.target.per == "atom":
            raise ValueError(
                f"forces and stress need a target of structures, '{self.target.key}' is one of "
                "atoms; train on an energy"
            )
        if (forces or stress) and self.model.n_targets != 1:
            raise ValueError(
                f"forces and stress need a target with one column, '{self.target.key}' has "
                f"{self.model.n_targets}; train one model per column"
            )
        if stress:
            _check_periodic(structures)
        parts: list[Prediction] = []
        for start, stop in batch_limits(structures, batch_atoms):
            batch = structures.select(torch.arange(start, stop))
            with renumber_errors(range(start, stop)):
                parts.append(self._predict_batch(batch, forces=forces, stress=stress, std=std))
            if progress is not None:
                progress(stop, structures.n_structures)
        if not parts:
            raise ValueError("there is nothing to predict; give at least one structure")
        return Prediction(
            values=torch.cat([part.values for part in parts]),
            forces=torch.cat([part.forces for part in parts]) if forces else None,
            stress=torch.cat([part.stress for part in parts]) if stress else None,
            std=torch.cat([part.std for part in parts]) if std else None,
        )

    def evaluate(self, structures: Structures) -> Float[Tensor, "row target"]:
        """Predictions of one batch, differentiable in positions and cell.

        Rows are structures, or centers if the target is one of atoms.

        Raises:
            ValueError: for a species that was not trained.
        """
        modelled = self.model.predict(self._features(structures))
        of = rows_of(self.target, self.representation, structures)
        return modelled + self.baseline.predict(of).to(modelled.dtype)

    def _features(self, structures: Structures) -> Features | EquivariantFeatures:
        features = self.representation.compute(structures)
        return features.per_center() if self.target.per == "atom" else features

    def _predict_batch(
        self, batch: Structures, *, forces: bool, stress: bool, std: bool
    ) -> Prediction:
        found: dict[str, Any] = {}
        if forces or stress:
            values, gradient, virial = self._differentiate(batch)
            found["forces"] = -gradient if forces else None
            found["stress"] = virial / batch.volumes[:, None, None] if stress else None
            if std:
                found["std"] = self._shaped(self._with_std(batch)[1], batch)
        elif std:
            values, spread = self._with_std(batch)
            found["std"] = self._shaped(spread, batch)
        else:
            with torch.no_grad():
                values = self.evaluate(batch)
        return Prediction(values=self._shaped(values, batch), **found)

    @torch.no_grad()
    def _with_std(
        self, batch: Structures
    ) -> tuple[Float[Tensor, "row target"], Float[Tensor, "row target"]]:
        """Values and standard deviations from the same features."""
        modelled, spread = self.model.predict_with_std(self._features(batch))
        of = rows_of(self.target, self.representation, batch)
        return modelled + self.baseline.predict(of).to(modelled.dtype), spread

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
        self, batch: Structures
    ) -> tuple[
        Float[Tensor, "structure target"], Float[Tensor, "atom 3"], Float[Tensor, "structure 3 3"]
    ]:
        """Values, their gradients, and their symmetric derivatives with respect to strain."""
        positions = batch.positions.detach().clone().requires_grad_()
        strain = torch.zeros_like(batch.cell).requires_grad_()
        shifts = torch.einsum("ax,axy->ay", positions, strain[batch.structure_index])
        cell = batch.cell.detach()
        strained = replace(batch, positions=positions + shifts, cell=cell + cell @ strain)
        values = self.evaluate(strained)
        if not values.requires_grad:  # no center anywhere: nothing depends on the positions
            return values, torch.zeros_like(batch.positions), torch.zeros_like(batch.cell)
        gradient, virial = torch.autograd.grad(values.sum(), (positions, strain))
        return values.detach(), gradient, (virial + virial.mT) / 2


def train(
    representation: Representation,
    structures: Structures,
    y: Float[Tensor, "row ..."] | Float[np.ndarray, "row ..."],
    *,
    target: Target,
    estimator: AbstractEstimator,
    baseline: AbstractBaseline | None = None,
    groups: Int[Tensor, " structure"] | None = None,
    forces: Forces | None = None,
    batch_atoms: int = BATCH_ATOMS,
    progress: Progress | None = None,
) -> Predictor:
    """Compute features, subtract the baseline, fit the model.

    Args:
        y: target of each structure, one number or one row; of each atom if the target says so, of
            which those of centers are used.
        target: says how the target adds up, its `reduce` replaces that of the estimator; and
            whether it is a tensor, whose irreps are then learned by one such estimator each.
        estimator: settings of the model; what they leave open is chosen by cross-validation.
        baseline: by default the composition for extensive, the mean for intensive targets; of
            tensors, of their isotropic part.
        groups: structures with equal numbers are never split between folds.
        forces: to learn from as well, by a ridge, a sparse kernel or a committee of them.
        batch_atoms: largest number of atoms in a batch of features.
        progress: called with the structures whose features are done, and the structures in all.

    Raises:
        ValueError: if targets are missing or not finite, a species is unknown, or the estimator
            or the target does not go with forces.
    """
    chosen = estimator_of(target, estimator)
    representation = with_irreps(target, representation, chosen)
    y, groups = target_rows(target, representation, structures, as_columns(y), groups)
    rows = rows_of(target, representation, structures)
    columns = check_targets(y, rows.n_structures)
    fitted = baseline_of(target, baseline).fit(rows, columns, reduce=target.reduce)
    design = collect_design(
        representation,
        structures,
        chosen,
        per=target.per,
        known=explore(representation, structures, chosen, per=target.per, batch_atoms=batch_atoms),
        forces=forces,
        batch_atoms=batch_atoms,
        progress=progress,
    )
    model = chosen.fit(design, columns - fitted.predict(rows), groups=groups)
    return Predictor(representation=representation, model=model, baseline=fitted, target=target)


def _check_periodic(structures: Structures) -> None:
    partial = ~structures.pbc.all(dim=1)
    if bool(partial.any()):
        raise StructureError(
            "is not periodic in all three directions and has no stress; predict it without stress",
            int(partial.nonzero()[0]),
        )
