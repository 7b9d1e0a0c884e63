"""Training sets: structures with targets, groups and forces, wherever these come from."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.data.dataset import DataError, Dataset
from multilode.data.inputs import Data, as_dataset
from multilode.data.stated_units import unit_of_forces, unit_of_stress
from multilode.models.targets import Forces, Stress, Target, as_columns
from multilode.prediction.model_baselines import AbstractModelBaseline
from multilode.prediction.reference_values import force_values, stress_values, target_values
from multilode.representation.feature_recipe import FeatureRecipe
from multilode.representation.representation import Representation
from multilode.structures.batch import Structures

# one row per structure or atom; the sizes of several sets differ
Values = Float[Tensor, "..."] | Float[np.ndarray, "..."]
Groups = str | Int[Tensor, " structure"]


@final
@dataclass(frozen=True, kw_only=True)
class LearningSet:
    """Structures with their targets.

    Args:
        dataset: the structures, with the names of their files.
        target: the property to learn.
        y: its values, one row per structure or atom.
        groups: structures with equal numbers are never split between folds.
        forces: to learn from as well.
        weights: how much the squares of the errors of each structure count.
        stress: to learn from as well.
    """

    dataset: Dataset
    target: Target
    y: Values
    groups: Int[Tensor, " structure"] | None = None
    forces: Forces | None = None
    weights: Float[Tensor, " structure"] | None = None
    stress: Stress | None = None

    @property
    def structures(self) -> Structures:
        """The structures."""
        return self.dataset.structures

    @property
    def species(self) -> list[int]:
        """Atomic numbers that occur, ascending."""
        return self.structures.species.unique().tolist()

    def with_arrays(self, names: Iterable[str]) -> "LearningSet":
        """The same, whose structures bring along what the features and the target need.

        Raises:
            DataError: if a structure lacks one.
        """
        more = [] if self.target.fragments is None else [self.target.fragments]
        return replace(self, dataset=self.dataset.with_arrays([*names, *more]))

    def less(self, model: AbstractModelBaseline | None) -> "LearningSet":
        """What another model leaves of the targets and forces; None leaves everything.

        Raises:
            DataError: if its values are missing, or not as many as the targets.
            ValueError: if it cannot be the baseline of this target.
        """
        if model is None:
            return self
        model.check(self.target, forces=self.forces is not None)
        wanted = {"forces": self.forces is not None, "stress": self.stress is not None}
        known = model.values(self.dataset, self.target, **wanted)
        y, forces, stress = as_columns(self.y), self.forces, self.stress
        if y.shape != known.values.shape:
            raise DataError(
                f"the baseline has {known.values.shape[1]} numbers for each value of "
                f"'{self.target.key}', which has {y.shape[1]}",
                remedy="give the column of the same property",
            )
        lacking = (known.values.isnan() & ~torch.as_tensor(y).isnan()).any(dim=1)
        if bool(lacking.any()):
            atom = int(lacking.nonzero()[0])
            file, frame = self.dataset.source[int(self.structures.structure_index[atom])]
            raise DataError(
                f"the baseline of '{self.target.key}' has no value where the target has one",
                remedy="give both for the same atoms",
                file=file or None,
                frame=frame,
            )
        if forces is not None and known.forces is not None:
            forces = replace(forces, values=torch.as_tensor(forces.values) - known.forces)
        if stress is not None and known.stress is not None:
            stress = replace(stress, values=torch.as_tensor(stress.values) - known.stress)
        return replace(self, y=y - known.values, forces=forces, stress=stress)


def learning_set(
    data: Data,
    target: Target | str,
    *,
    y: Values | None = None,
    groups: Groups | None = None,
    forces: Forces | Values | str | None = None,
    stress: Stress | Values | str | None = None,
    weights: Values | str | None = None,
    features: FeatureRecipe | Representation | None = None,
) -> LearningSet:
    """The structures with their targets; names stand for columns of the data.

    Args:
        data: a data set, structures, or objects of ASE.
        target: the property to learn, or its key.
        y: its values; by default the column under the key of the target.
        groups: numbers of the structures, or a key whose equal values are one group.
        forces: forces to learn from, their values or their key.
        stress: stresses to learn from, their values or their key.
        weights: of the structures in the fit, or their key.
        features: that will be computed; they say which atoms must have a target of atoms, by
            default all, and which arrays structures bring along.

    Raises:
        DataError: if a column is missing, or a value of it is no finite number, or a weight is not
            larger than 0.
    """
    dataset = as_dataset(data)
    centers = features.centers if isinstance(features, Representation) else None
    if isinstance(target, str):
        target = Target(key=target)
    if y is None:
        kind = (None, target.tensor, target.per, centers)
        y = target_values(dataset, target.key, *kind, unit=target.unit)
    if isinstance(groups, str):
        labels = np.array(dataset.labels(groups))
        groups = torch.from_numpy(np.unique(labels, return_inverse=True)[1].astype(np.int64))
    if isinstance(forces, str):
        forces = force_values(dataset, forces, unit_of_forces(target.unit))
    if forces is not None and not isinstance(forces, Forces):
        forces = Forces(values=forces)
    if isinstance(stress, str):
        stress = stress_values(dataset, stress, unit_of_stress(stress, target.unit))
    if stress is not None and not isinstance(stress, Stress):
        stress = Stress(values=stress)
    if weights is not None:
        weights = structure_weights(dataset, weights)
    fitted = {"groups": groups, "weights": weights}
    found = LearningSet(dataset=dataset, target=target, y=y, forces=forces, stress=stress, **fitted)
    return found.with_arrays(() if features is None else features.arrays)


def structure_weights(dataset: Dataset, weights: Values | str) -> Float[Tensor, " structure"]:
    """Weights of structures, from a column or as they are.

    Raises:
        DataError: if there is not one number larger than 0 for each structure.
    """
    key = weights if isinstance(weights, str) else None
    values = torch.as_tensor(weights if key is None else dataset.column(key)).double()
    advice = "give each structure a number larger than 0; one that should not count is left out"
    if values.shape != (len(dataset),):
        raise DataError(
            f"weights of shape {list(values.shape)} for {len(dataset)} structures",
            remedy=advice,
            key=key,
        )
    wrong = (~(values.isfinite() & (values > 0))).nonzero()
    if len(wrong):
        number = int(wrong[0])
        file, frame = dataset.source[number]
        raise DataError(
            f"the weight is {float(values[number]):g}",
            remedy=advice,
            file=file or None,
            frame=frame,
            key=key,
        )
    return values
