"""Predictions of data sets, and their errors."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from multilode.data.dataset import Dataset
from multilode.data.inputs import Data, as_dataset
from multilode.data.stated_units import unit_of_forces, unit_of_stress
from multilode.data.structure_checks import check_species
from multilode.data.units import factor
from multilode.errors import UserError
from multilode.models.targets import Per, Target
from multilode.numerics.modes import own_modes
from multilode.prediction.comparison import Errors, compare
from multilode.prediction.evaluated import Evaluated
from multilode.prediction.predictor import Prediction, Predictor
from multilode.prediction.reference_values import (
    Component,
    force_values,
    stress_values,
    target_values,
)
from multilode.progress import Progress
from multilode.representation.batches import BATCH_ATOMS, batch_limits


@own_modes(gradients=True)
def evaluate(
    predictor: Predictor,
    data: Data,
    *,
    key: str | None = None,
    component: Component = None,
    group: str | None = None,
    forces: str | None = None,
    stress: str | None = None,
    unit: str | None = None,
    forces_unit: str | None = None,
    stress_unit: str | None = None,
    std: bool = False,
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
        forces: key of forces to compare with; likewise `stress`, as ASE has it.
        unit: of the references, if it is another than that of the model; likewise `forces_unit` and
            `stress_unit`, which by default are the same per Å and Å^3.
        std: whether it is counted how many errors are within their error bars.
        progress: called with the structures done and the structures in all.

    Raises:
        UserError: if a reference is missing or not finite, or as for `predict`.
    """
    named = References(
        key=key,
        component=component,
        group=group,
        forces=forces,
        stress=stress,
        unit=unit,
        forces_unit=forces_unit,
        stress_unit=stress_unit,
    )
    return compared(
        predictor, as_dataset(data), named, std=std, model=model, split=split, progress=progress
    ).errors


@final
@dataclass(frozen=True, kw_only=True)
class References:
    """What predictions are compared with, by the keys of a data set.

    Args:
        key: of the target; None for that of the training.
        component: index into the flattened property, or `trace` of a 3x3 tensor.
        group: whose values are groups with errors of their own.
        forces: of forces.
        stress: of stresses.
        unit: of the references of the target; None for that of the model.
        forces_unit: of those of forces; None for that of the model per Å.
        stress_unit: of those of stresses; None for that of the model per Å^3.
    """

    key: str | None = None
    component: Component = None
    group: str | None = None
    forces: str | None = None
    stress: str | None = None
    unit: str | None = None
    forces_unit: str | None = None
    stress_unit: str | None = None


@own_modes(gradients=True)
def compared(
    predictor: Predictor,
    dataset: Dataset,
    named: References,
    *,
    std: bool,
    model: str,
    split: str,
    progress: Progress | None,
) -> Evaluated:
    """Predictions of a data set beside its references, and their errors.

    Args:
        predictor: a trained model.
        dataset: structures with references.
        named: where these are.
        std, model, split, progress: as for `evaluate`.

    Raises:
        UserError: as for `evaluate`.
    """
    target, centers = predictor.target, predictor.representation.centers
    key, unit = named.key or target.key, named.unit or target.unit
    kind = (named.component, target.tensor, target.per, centers)
    reference = target_values(dataset, key, *kind, unit=unit)
    reference = reference * _factor(named.unit, target.unit, target)
    more = _more_references(dataset, target, named)
    wanted = {"forces": named.forces is not None, "stress": named.stress is not None, "std": std}
    predicted = predict(predictor, dataset, progress=progress, **wanted)
    return Evaluated(
        dataset=dataset,
        target=target,
        reference=reference,
        predicted=predicted,
        errors=compare(predicted, reference, target, model=model, split=split, **more),
        forces=more["forces"],
        stress=more["stress"],
    )


def _more_references(dataset: Dataset, target: Target, named: References) -> dict[str, Any]:
    """What `compare` needs beside the references of the target."""
    group, forces, stress = named.group, named.forces, named.stress
    own_forces = unit_of_forces(target.unit)
    own_stress = unit_of_stress(stress or "", target.unit)
    return {
        "structures": dataset.structures,
        "groups": None if group is None else labels_of(dataset, group, target.per),
        "forces": None
        if forces is None
        else _factor(named.forces_unit, own_forces, target)
        * force_values(dataset, forces, named.forces_unit or own_forces),
        "stress": None
        if stress is None
        else _factor(named.stress_unit, own_stress, target)
        * stress_values(dataset, stress, named.stress_unit or own_stress),
    }


def _factor(given: str | None, wanted: str, target: Target) -> float:
    """What references in a unit are multiplied with to be in that of the model."""
    if given is None:
        return 1.0
    if not target.unit:
        raise UserError(
            f"{given} has nothing to be converted to, because the model names no unit of "
            f"'{target.key}'; leave it out, or train with target.unit"
        )
    return factor(given, wanted)


def labels_of(dataset: Dataset, key: str, per: Per) -> list[str]:
    """A label of each structure, or of each atom."""
    labels = list(dataset.labels(key))
    if per == "atom":
        return [labels[i] for i in dataset.structures.structure_index.tolist()]
    return labels


@own_modes(gradients=True)
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
            return predictor.predict(dataset, progress=progress, **wanted)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"cannot predict: {error}") from error


@own_modes()
def novelty(
    predictor: Predictor, data: Data, *, batch_atoms: int = BATCH_ATOMS
) -> Float[Tensor, " atom"]:
    """How far the environment of each atom is from all of the training: above 1 it is far.

    Numbers of neighbors in shells up to 6 Å are compared, whatever the model is made of. Of
    structures like those of the training about 1 in 100 has an atom above 1. What is predicted of
    far ones is extrapolated, well or not.

    Args:
        predictor: a trained model.
        data: structures, a data set, or objects of ASE.
        batch_atoms: largest number of atoms in a batch (one structure is never divided).

    Returns:
        Zeros for atoms that are no centers, and for elements in fewer than 5 structures of the
        training set.

    Raises:
        ValueError: if the model was trained by a version that kept no environments.
    """
    if predictor.known is None:
        raise ValueError("the model does not know its training set; train it again")
    structures = as_dataset(data, results=False).structures
    found = [structures.positions.new_zeros(0, dtype=torch.float64)]
    for limits in batch_limits(structures, batch_atoms):
        batch = structures.select(torch.arange(*limits))
        centers = predictor.representation.centers_of(batch)
        values = found[0].new_zeros(batch.n_atoms)
        values[centers] = predictor.known.novelty(batch, centers)
        found.append(values)
    return torch.cat(found)


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
    counts = dataset.structures.counts.tolist()
    for name in ("forces", "forces_std"):
        found = getattr(predicted, name)
        if found is not None:
            atom_columns[f"predicted_{name}"] = [f.numpy() for f in found.split(counts)]
    return dataset.with_values(columns, atom_columns)


def _plain(value: Tensor) -> float | np.ndarray:
    return value.item() if value.ndim == 0 else value.numpy()
