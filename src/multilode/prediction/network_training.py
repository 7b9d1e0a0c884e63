"""From structures and targets to a predictor whose model is a network."""

from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.models.network import (
    Network,
    NetworkCommittee,
    NetworkCost,
    NetworkModel,
    NetworkTensorModel,
    TensorOutput,
    fit_network,
    probe_network,
    validation_set,
)
from multilode.models.rows import check_targets
from multilode.models.targets import Target
from multilode.prediction.baseline import AbstractBaseline, baseline_of
from multilode.prediction.data_checks import warn_of_contradiction, warn_of_data
from multilode.prediction.learning_set import LearningSet
from multilode.prediction.predictor import Predictor
from multilode.prediction.stress import check_stress
from multilode.progress import Progress
from multilode.representation.field_set import FieldSet
from multilode.representation.representation import Representation
from multilode.structures.batch import Structures

_TOLERANCES = {"float32": 1e-5, "float64": 1e-8}  # of coefficients, by the type they are kept in


def trained_network(
    representation: Representation,
    training_set: LearningSet,
    settings: Network,
    baseline: AbstractBaseline | None,
    *,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> Predictor:
    """A network on the fields of a representation, which multiplies them itself.

    Args:
        representation: whose fields are taken, without its products.
        training_set: structures, energies and maybe forces, less those of another model.
        settings: of the network.
        baseline: subtracted before the training.
        checkpoint: file of the state of the training.
        progress: called as by `train`.

    Raises:
        ValueError: if the representation has no such fields, or the target cannot be learned.
        UserError: if the checkpoint belongs to another training.

    Warns:
        DataWarning: of rare elements, and forces that cannot be the slope of the energies.
    """
    target, structures = training_set.target, training_set.structures
    _check_can_learn(training_set, settings)
    recipe = _recipe(representation, settings)
    y, groups = target.values(recipe, structures, training_set.y)[0], training_set.groups
    units = target.units(recipe, structures)
    columns = check_targets(y, units.n_structures, target.per)
    output = _output(target)
    if output is None and columns.shape[1] != 1:
        raise ValueError(f"a network learns one number, '{target.key}' has {columns.shape[1]}")
    fitted = baseline_of(target, baseline).fit(units, columns, reduce=target.reduce)
    forces = training_set.forces
    rest = columns - fitted.predict(units)
    warn_of_data(structures, forces)
    model = fit_network(
        settings,
        recipe,
        structures,
        rest,
        output=output,
        forces=forces,
        stress=training_set.stress,
        groups=groups,
        checkpoint=checkpoint,
        progress=progress,
    )
    if forces is not None and not isinstance(model, NetworkTensorModel):
        apart = validation_set(structures.n_structures, groups, settings)
        _compare(model, structures, rest, torch.as_tensor(forces.values), apart)
    return Predictor(representation=recipe, model=model, baseline=fitted, target=target)


def network_cost(
    representation: Representation,
    structures: Structures,
    target: Target,
    settings: Network,
    *,
    forces: bool,
    stress: bool,
) -> NetworkCost:
    """What the training of a network on structures takes, from a few steps.

    Args:
        representation: whose fields are taken.
        structures: of the training set.
        target: that is learned.
        settings: of the network.
        forces: whether it learns from forces.
        stress: whether it learns from stresses.

    Raises:
        ValueError: if the settings do not fit the fields.
    """
    recipe, output = _recipe(representation, settings), _output(target)
    given = {"output": output, "forces": forces, "stress": stress}
    return probe_network(settings, recipe, structures, **given)


def _recipe(representation: Representation, settings: Network) -> FieldSet:
    """The fields, to the digits that the network keeps."""
    recipe = FieldSet.of(representation)
    if recipe.tolerance is None:
        return replace(recipe, tolerance=_TOLERANCES[settings.dtype])
    return recipe


def _output(target: Target) -> TensorOutput | None:
    """What a network gives for a target that is no energy."""
    energies = target.tensor is None and target.per == "structure" and target.reduce == "sum"
    if energies:
        return None
    return TensorOutput(kind=target.tensor or "scalar", reduce=target.reduce, per=target.per)


def _compare(
    model: NetworkModel | NetworkCommittee,
    structures: Structures,
    energies: Float[Tensor, "structure 1"],
    forces: Float[Tensor, "atom 3"],
    apart: list[int],
) -> None:
    """Warn of energies and forces of the validation set that contradict each other."""
    atoms = torch.isin(structures.structure_index, torch.tensor(apart, dtype=torch.int64))
    one = model.members[0] if isinstance(model, NetworkCommittee) else model
    warn_of_contradiction(one, structures.select(apart), energies[apart], forces[atoms])


def _check_can_learn(training_set: LearningSet, settings: Network) -> None:
    """Raise a ValueError if a network cannot learn this target, or not in this way."""
    target = training_set.target
    derived = training_set.forces is not None or training_set.stress is not None
    if derived and _output(target) is not None:
        raise ValueError(
            f"forces and stresses are derivatives of an energy: '{target.key}' must be one number "
            "per structure that adds up over atoms (reduce: sum)"
        )
    if _output(target) is not None and settings.n_members > 1:
        raise ValueError(
            "several networks with error bars are for energies; use n_members=1, or a committee of "
            "linear models or kernels"
        )
    if training_set.weights is not None:
        raise ValueError(
            "structures have weights in models that are linear in features, ridge and sparse, and "
            "not in networks; leave the weights out"
        )
    forces = training_set.forces
    if forces is not None and (forces.weight is not None or forces.directions is not None):
        raise ValueError(
            "forces have a weight and directions in linear models; a network learns all of their "
            "components: give energy_weight to the network instead"
        )
    if training_set.stress is not None:
        if training_set.stress.weight is not None:
            raise ValueError(
                "stresses have a weight in linear models; give stress_weight to the network instead"
            )
        check_stress(training_set.structures)
    n_atoms = training_set.structures.n_atoms
    if forces is not None and len(torch.as_tensor(forces.values)) != n_atoms:
        raise ValueError(
            f"got {len(torch.as_tensor(forces.values))} forces for {n_atoms} atoms; give one for "
            "each"
        )
