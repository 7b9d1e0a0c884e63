"""Training runs and learning curves of a configuration, from files to results."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.config.config import Config
from multilode.config.errors import ConfigError
from multilode.config.settings import ForceSettings
from multilode.data.dataset import Dataset
from multilode.errors import DataWarning, UserError, renumber_errors
from multilode.models import AbstractEstimator, Network, TargetRegression
from multilode.models.targets import Forces
from multilode.prediction.comparison import Errors, compare
from multilode.prediction.errors import ErrorRow, standard_deviation
from multilode.prediction.evaluation import labels_of, predict
from multilode.prediction.learning import LearningCurve, LearningData, fit_subsets, learning_data
from multilode.prediction.learning_set import LearningSet
from multilode.prediction.model_baselines import model_of
from multilode.prediction.predictor import Prediction, Predictor
from multilode.prediction.reference_values import force_values, target_values
from multilode.prediction.training import train
from multilode.progress import Progress, Stage, reporting, silent
from multilode.representation.batches import BATCH_ATOMS, batch_limits
from multilode.representation.representation import Representation
from multilode.workflow.sets import Sets, species_of


@final
@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """One set with its predictions.

    Args:
        dataset: the structures.
        reference: their targets.
        predicted: predictions of the model.
        errors: their errors.
        forces: references of forces, if the model has learned from them.
    """

    dataset: Dataset
    reference: Float[Tensor, "structure target"]
    predicted: Prediction
    errors: Errors
    forces: Float[Tensor, "atom 3"] | None = None


@final
@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """A trained model and how good it is.

    Args:
        predictor: the model.
        splits: evaluated sets by name: `train`, and `test` if there is one.
        cross_validation: error of the chosen settings in cross-validation; None if none was done.
    """

    predictor: Predictor
    splits: dict[str, Evaluated]
    cross_validation: Errors | None


def representation_of(config: Config, train_set: Dataset) -> Representation:
    """The features of a configuration for the species of its training set.

    Where three fields or more are multiplied, contractions are fitted to some of its structures.

    Raises:
        UserError: if the settings do not fit the structures.
    """
    representation = config.representation(species_of(train_set))
    if all(len(names) < 3 for names in representation.products):
        return representation
    structures = train_set.structures
    order = np.random.default_rng(config.data.seed).permutation(len(train_set))
    counts = structures.counts.numpy()[order].cumsum()
    chosen = order[: int(np.searchsorted(counts, config.contraction_atoms)) + 1]
    with train_set.naming_frames(), renumber_errors(chosen.tolist()):
        some = structures.select(chosen.tolist())
        batches = [
            some.select(torch.arange(start, stop))
            for start, stop in batch_limits(some, BATCH_ATOMS)
        ]
        return representation.contracted(batches, config.contraction)


def run_training(
    config: Config, sets: Sets, *, stage: Stage | None = None, checkpoint: Path | None = None
) -> TrainingRun:
    """Train a model and evaluate it on all sets.

    Args:
        config: the settings.
        sets: the structures.
        checkpoint: file of the state of the training of a network.
        stage: starts a progress report.

    Raises:
        UserError: if the data do not suffice or do not fit the settings.
    """
    stage = stage or silent
    references = {name: _references(config, part) for name, part in _named(sets).items()}
    forces = _forces(config, sets)
    try:
        with sets.train.naming_frames(), reporting(stage):
            predictor = train(
                representation_of(config, sets.train),
                sets.train,
                config.target,
                y=references["train"],
                estimator=config.estimator,
                baseline=config.baseline,
                groups=_group_numbers(config, sets.train),
                forces=forces["train"],
                weights=config.data.weights,
                checkpoint=checkpoint,
                progress=_training_progress(config, stage),
            )
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"cannot train: {error}") from error
    splits = {
        name: _evaluated(config, predictor, name, part, references[name], forces[name], stage)
        for name, part in _named(sets).items()
    }
    return TrainingRun(
        predictor=predictor,
        splits=splits,
        cross_validation=_cross_validation(config, predictor, splits["train"]),
    )


def _evaluated(
    config: Config,
    predictor: Predictor,
    name: str,
    part: Dataset,
    reference: Float[Tensor, "row target"],
    forces: Forces | None,
    stage: Stage,
) -> Evaluated:
    """One set with its predictions; those of forces too if the model has learned from forces."""
    predicted = predict(
        predictor,
        part,
        progress=stage(f"predicting the {name} set"),
        std=name == "test" and _has_bars(predictor),
        forces=config.forces is not None,
    )
    compared = None if forces is None else torch.as_tensor(forces.values)
    errors = compare(
        predicted,
        reference,
        config.target,
        model=config.name,
        split=name,
        groups=_labels(config, part),
        structures=part.structures,
        forces=compared,
    )
    return Evaluated(
        dataset=part, reference=reference, predicted=predicted, errors=errors, forces=compared
    )


def _has_bars(predictor: Predictor) -> bool:
    return any(part.bars is not None for part in predictor.model.summary().parts)


def run_learning_curve(config: Config, sets: Sets, *, stage: Stage | None = None) -> LearningCurve:
    """Train on growing subsets of the training set; the test set stays the same.

    Args:
        config: the settings.
        sets: the structures.
        stage: starts a progress report.

    Raises:
        ConfigError: if there is no test set or a size is too large.
        UserError: if the data do not suffice or do not fit the settings.
    """
    stage = stage or silent
    estimator = config.estimator
    if isinstance(estimator, Network):
        raise ConfigError(
            "setting 'estimator': learning curves are those of models that are fitted at once; use "
            "another estimator than a network, such as {kind: ridge}, or train on parts of the data"
        )
    if sets.test is None:
        raise ConfigError(
            "a learning curve needs a test set; set data.test, data.test_fraction or data.split"
        )
    if config.data.weights is not None:
        raise ConfigError(
            "a learning curve does not use setting 'data.weights'; leave it out, or train on "
            "configurations with smaller sets"
        )
    sizes = config.learning_curve.sizes or _default_sizes(len(sets.train))
    representation = representation_of(config, sets.train)
    try:
        curve = fit_subsets(
            TargetRegression(target=config.target, estimator=estimator),
            *_learning_data(config, estimator, sets, representation, stage),
            sizes=sorted(set(sizes)),
            repeats=config.learning_curve.repeats,
            seed=config.learning_curve.seed,
            baseline=config.baseline,
            progress=stage("training on subsets"),
        )
        return curve.relative_to(_references(config, sets.test))
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"cannot compute the learning curve: {error}") from error


def _learning_data(
    config: Config,
    estimator: AbstractEstimator,
    sets: Sets,
    representation: Representation,
    stage: Stage,
) -> list[LearningData]:
    """Training and test set, whose features are computed once."""
    collected: list[LearningData] = []
    for name, part in _named(sets).items():
        with part.naming_frames():
            rest = LearningSet(
                dataset=part,
                target=config.target,
                y=_references(config, part),
                forces=_forces_of(config.forces, part) if part is sets.train else None,
            ).less(model_of(config.plain_baseline))
            learned = learning_data(
                representation,
                part.structures,
                rest.y,
                target=config.target,
                estimator=estimator,
                groups=_group_numbers(config, part),
                maps=collected[0].maps if collected else None,
                forces=rest.forces,
                progress=stage(f"computing features of the {name} set"),
            )
        collected.append(learned)
    return collected


def _references(config: Config, dataset: Dataset) -> Float[Tensor, "row target"]:
    target = config.target
    values = target_values(dataset, target.key, config.component, target.tensor, target.per)
    if config.forces is not None and values.shape[1] != 1:
        raise ConfigError(
            f"setting 'target.forces': forces are the derivatives of one number, '{target.key}' "
            f"has {values.shape[1]}; choose one with target.component, or learn without forces"
        )
    return values


def _forces(config: Config, sets: Sets) -> dict[str, Forces | None]:
    """References of forces of each set, if there are any to learn from.

    A test set whose files have no forces at all is used for its energies.
    """
    asked, found = config.forces, {}
    for name, part in _named(sets).items():
        if asked is not None and name == "test" and not part.has_atom_column(asked.key):
            warnings.warn(
                DataWarning(
                    f"the test set has no '{asked.key}'; predicted forces are compared with those "
                    "of the training set only"
                ),
                stacklevel=2,
            )
            found[name] = None
        else:
            found[name] = _forces_of(asked, part)
    return found


def _forces_of(asked: ForceSettings | None, dataset: Dataset) -> Forces | None:
    """References of forces of one set, if they are to be learned from."""
    if asked is None:
        return None
    return Forces(
        values=force_values(dataset, asked.key),
        weight=asked.weight,
        directions=asked.directions,
        seed=asked.seed,
    )


def _labels(config: Config, dataset: Dataset) -> list[str] | None:
    """Group of each row by which errors are listed."""
    if config.data.group is None:
        return None
    return labels_of(dataset, config.data.group, config.target.per)


def _named(sets: Sets) -> dict[str, Dataset]:
    return {"train": sets.train} | ({} if sets.test is None else {"test": sets.test})


def _group_numbers(config: Config, dataset: Dataset) -> Int[Tensor, " structure"] | None:
    if config.data.group is None:
        return None
    labels = np.array(dataset.labels(config.data.group))
    return torch.from_numpy(np.unique(labels, return_inverse=True)[1].astype(np.int64))


def _cross_validation(config: Config, predictor: Predictor, train: Evaluated) -> Errors | None:
    """Errors of the chosen settings, of the parts of the training set that a fit did not see."""
    found = predictor.model.summary()
    if found.cv_rmse is None:
        return None
    base = train.predicted.baseline
    known = None if base is None else base.values.reshape(train.reference.shape)
    derived = found.parts[0].cv_force_rmse
    forces = None
    if derived is not None and train.forces is not None and config.forces is not None:
        known_forces = torch.zeros_like(train.forces)
        if base is not None and base.forces is not None:
            known_forces = base.forces
        rmse = derived * _rows_of_forces(config.forces, train.dataset.structures.counts)
        forces = _known_error(rmse, train.forces, known_forces)
    return Errors(
        model=config.name,
        split="cross-validation",
        unit=config.target.unit,
        rows=(_known_error(found.cv_rmse, train.reference, known),),
        forces=forces,
    )


def _known_error(rmse: float, reference: Tensor, baseline: Tensor | None) -> ErrorRow:
    """The row of an error whose predictions are not kept."""
    deviation = standard_deviation(reference)
    rest = 0.0 if baseline is None else standard_deviation(reference - baseline)
    return ErrorRow(
        group="all",
        n=len(reference),
        rmse=rmse,
        mae=float("nan"),
        rmse_percent=100 * rmse / deviation if deviation > 0 else float("nan"),
        rmse_percent_of_rest=100 * rmse / rest if rest > 0 else float("nan"),
    )


def _rows_of_forces(asked: ForceSettings, counts: Int[Tensor, " structure"]) -> float:
    """From the root mean square of rows of forces to that of components.

    Rows along K of the 3 N directions are larger by the root of 3 N / K, so that their sum of
    squares estimates that of all components.
    """
    components = 3 * counts
    rows = components if asked.directions is None else components.clamp(max=asked.directions)
    return (float(rows.sum()) / float(components.sum())) ** 0.5


def _default_sizes(n: int) -> list[int]:
    """Up to five sizes, each twice the one before, the last of them all structures."""
    return sorted({n // 2**k for k in range(5) if n // 2**k >= min(n, 10)})


def _training_progress(config: Config, stage: Stage) -> Progress:
    """Structures whose fields or features are done, and then the training."""
    if isinstance(config.regression, Network):
        return _then(stage, "storing fields", "training the network")
    return _then(stage, "computing features", "fitting the model")


def _then(stage: Stage, first: str, second: str) -> Progress:
    """Report the first stage, and what follows it as the second."""
    report, begun = stage(first), False

    def progress(done: int, total: int) -> None:
        nonlocal report, begun
        report(done, total)
        if done == total and not begun:
            report, begun = stage(second), True

    return progress
