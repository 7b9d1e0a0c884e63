"""Predictions of data sets, and their errors."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from multilode.data.dataset import DataError, Dataset
from multilode.data.inputs import Data, as_dataset
from multilode.data.structure_checks import check_species
from multilode.errors import UserError
from multilode.models.targets import Per, Target, force_unit
from multilode.prediction.errors import ErrorRow, error_table
from multilode.prediction.predictor import Prediction, Predictor
from multilode.prediction.reference_values import Component, force_values, target_values
from multilode.progress import Progress
from multilode.symmetry.cartesian import tensor_kind
from multilode.symmetry.irrep import irrep_name

_SHOWN_GROUPS = 8  # of a description


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class Errors:
    """Errors of a model on one set of structures.

    Args:
        model: its name.
        split: name of the set.
        unit: of RMSE and MAE.
        rows: errors of all structures first, then of each group.
        components: of tensors, errors of the spherical components of each irrep, by its name.
        forces: errors of the components of forces, in unit/Å, if they were compared too; counted
            are atoms.
    """

    model: str
    split: str
    unit: str
    rows: tuple[ErrorRow, ...]
    components: tuple[ErrorRow, ...] = ()
    forces: ErrorRow | None = None

    def __repr__(self) -> str:
        rows = [*self.rows[:_SHOWN_GROUPS], *self.components]
        lines = [row.written(row.group, self.unit) for row in rows]
        if len(self.rows) > _SHOWN_GROUPS:
            lines.append(f"and {len(self.rows) - _SHOWN_GROUPS} groups more")
        if self.forces is not None:
            lines.append(self.forces.written("forces", force_unit(self.unit)))
        return "\n  ".join([f"Errors({self.model}, {self.split}", *lines]) + ")"

    def as_dicts(self) -> list[dict[str, Any]]:
        """One plain dictionary per row; errors that are not defined are None.

        Those of components of tensors and of forces come last, and name them.
        """
        whole = [self._as_dict(row) for row in self.rows]
        parts = [
            {**self._as_dict(row), "group": "all", "component": row.group}
            for row in self.components
        ]
        if self.forces is not None:
            own = {"component": "forces", "unit": force_unit(self.unit)}
            parts.append({**self._as_dict(self.forces), **own})
        return whole + parts

    def _as_dict(self, row: ErrorRow) -> dict[str, Any]:
        return {
            "model": self.model,
            "split": self.split,
            "group": row.group,
            "rmse": row.rmse,
            "mae": row.mae if np.isfinite(row.mae) else None,
            "rmse_percent": row.rmse_percent if np.isfinite(row.rmse_percent) else None,
            "unit": self.unit,
            "n": row.n,
        }


def evaluate(
    predictor: Predictor,
    data: Data,
    *,
    key: str | None = None,
    component: Component = None,
    group: str | None = None,
    forces: str | None = None,
    model: str = "model",
    split: str = "data",
    progress: Progress | None = None,
) -> Errors:
    """Errors of the model called `model` on the structures called `split`.

    Args:
        data: structures with references: a data set, or objects of ASE.
        key: of the references; by default that of the training.
        component: index into the flattened property, or `trace` of a 3x3 tensor.
        group: key by whose values errors are listed.
        forces: key of forces to compare with; None compares none.
        progress: called with the structures done and the structures in all.

    Raises:
        DataError: if a reference is missing or not finite, or a structure cannot be predicted.
        UserError: if the model has no such derivatives or standard deviations.
    """
    dataset, target = as_dataset(data), predictor.target
    reference = target_values(dataset, key or target.key, component, target.tensor, target.per)
    groups = None if group is None else _labels(dataset, group, target.per)
    wanted = None if forces is None else force_values(dataset, forces)
    return compare(
        predict(predictor, dataset, progress=progress, forces=wanted is not None),
        reference,
        model=model,
        split=split,
        unit=target.unit,
        groups=groups,
        tensor=target.tensor,
        forces=wanted,
    )


def _labels(dataset: Dataset, key: str, per: Per) -> list[str]:
    """A label of each structure, or of each atom."""
    labels = list(dataset.labels(key))
    if per == "atom":
        return [labels[i] for i in dataset.structures.structure_index.tolist()]
    return labels


def predict(
    predictor: Predictor, dataset: Dataset, *, progress: Progress | None = None, **wanted: bool
) -> Prediction:
    """Predictions for a data set, with errors that name file and frame.

    Args:
        predictor: a trained model.
        dataset: the structures.
        progress: called with the structures done and the structures in all.
        wanted: `forces`, `stress` and `std` as for `Predictor.predict`.

    Raises:
        DataError: if a structure has an element that the model was not trained on, needs more
            memory than there is, does not have what is wanted, or its prediction is not finite.
        UserError: if the model has no such derivatives or standard deviations.
    """
    check_species(dataset, predictor.representation.species)
    try:
        with dataset.naming_frames():
            predicted = predictor.predict(dataset, progress=progress, **wanted)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"cannot predict: {error}") from error
    _check_finite(predictor, dataset, predicted)
    return predicted


def _check_finite(predictor: Predictor, dataset: Dataset, predicted: Prediction) -> None:
    """Raise a DataError that names the first structure whose prediction is not finite."""
    values = predicted.values.reshape(len(predicted.values), -1)
    wrong = ~values.isfinite().all(dim=1)
    structure = torch.arange(len(dataset))
    if predictor.target.per == "atom":  # atoms that are no centers have no prediction
        structure, centers = dataset.structures.structure_index, wrong.new_zeros(len(wrong))
        centers[predictor.representation.centers_of(dataset.structures)] = True
        wrong &= centers
    if bool(wrong.any()):
        file, frame = dataset.source[int(structure[wrong.nonzero()[0]])]
        raise DataError(
            "the prediction is not a finite number",
            remedy="check the structure, or train the model again",
            file=file,
            frame=frame,
        )


def with_predictions(dataset: Dataset, predicted: Prediction, target: Target) -> Dataset:
    """The data set with the predictions, under `predicted_...`.

    Args:
        dataset: the structures.
        predicted: predictions for them.
        target: the predicted property.
    """
    named = {f"predicted_{target.key}": predicted.values}
    if predicted.std is not None:
        named[f"predicted_{target.key}_std"] = predicted.std
    if target.per == "atom":
        counts = dataset.structures.counts.tolist()
        flat = {name: v.reshape(len(v), -1).squeeze(1) for name, v in named.items()}
        atoms = {name: [x.numpy() for x in v.split(counts)] for name, v in flat.items()}
        return dataset.with_values({}, atoms)
    columns = {name: [_plain(v) for v in values] for name, values in named.items()}
    if predicted.stress is not None:
        columns["predicted_stress"] = [v.numpy() for v in predicted.stress]
    atom_columns = {}
    if predicted.forces is not None:
        counts = dataset.structures.counts.tolist()
        atom_columns["predicted_forces"] = [f.numpy() for f in predicted.forces.split(counts)]
    return dataset.with_values(columns, atom_columns)


def compare(
    predicted: Prediction,
    reference: Float[Tensor, "row target"],
    *,
    model: str,
    split: str,
    unit: str,
    groups: Sequence[str] | None = None,
    tensor: str | None = None,
    forces: Float[Tensor, "atom 3"] | None = None,
) -> Errors:
    """Errors of the model called `model` on the structures called `split`, whole and by group.

    Args:
        reference: of the same structures, or atoms; those without prediction are left out.
        unit: of the target.
        groups: a label per structure, or atom.
        tensor: kind of tensor, whose irreps are listed too, all components and copies pooled.
        forces: references in unit/Å, whose components are pooled.

    Raises:
        UserError: if the references have other columns than the predictions, or forces without any.
    """
    values = predicted.values.reshape(len(reference), -1)
    if values.shape != reference.shape:
        raise UserError(
            f"the model predicts {values.shape[1]} numbers per structure but the reference has "
            f"{reference.shape[1]}; give the property that the model was trained on with --key"
        )
    found = ~values.isnan().any(dim=1)
    reference, values = reference[found], values[found]
    groups = groups and [g for g, k in zip(groups, found.tolist(), strict=True) if k]
    return Errors(
        model=model,
        split=split,
        unit=unit,
        rows=tuple(error_table(reference, values, groups)),
        components=() if tensor is None else _irrep_errors(reference, values, tensor),
        forces=None if forces is None else _force_errors(forces, predicted),
    )


def _irrep_errors(
    reference: Float[Tensor, "row cartesian"], values: Float[Tensor, "row cartesian"], tensor: str
) -> tuple[ErrorRow, ...]:
    """Errors of each irrep of a tensor; none if there is only one."""
    kind = tensor_kind(tensor)
    if len(kind.irreps) == 1:
        return ()
    expected, found = (kind.to_spherical(x.double()) for x in (reference, values))
    flat = {irrep: (expected[irrep].flatten(1), found[irrep].flatten(1)) for irrep in expected}
    return tuple(
        replace(error_table(*pair)[0], group=irrep_name(irrep)) for irrep, pair in flat.items()
    )


def _force_errors(reference: Float[Tensor, "atom 3"], predicted: Prediction) -> ErrorRow:
    if predicted.forces is None:
        raise UserError("there are no predicted forces to compare; predict with forces=True")
    return error_table(reference, predicted.forces)[0]


def _plain(value: Tensor) -> float | np.ndarray:
    return value.item() if value.ndim == 0 else value.numpy()
