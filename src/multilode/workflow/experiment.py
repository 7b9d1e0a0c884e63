"""Training runs and learning curves of a configuration, from files to results."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.config.config import Config
from multilode.config.errors import ConfigError
from multilode.data.dataset import Dataset
from multilode.errors import UserError, renumber_errors
from multilode.models import AbstractEstimator, Network, TargetRegression
from multilode.numerics.limits import limits
from multilode.prediction.comparison import Errors
from multilode.prediction.evaluated import Evaluated
from multilode.prediction.learning import LearningCurve, LearningData, fit_subsets, learning_data
from multilode.prediction.learning_set import LearningSet
from multilode.prediction.model_baselines import model_of
from multilode.prediction.predictor import Predictor
from multilode.prediction.reference_values import target_values
from multilode.prediction.training import for_target, train
from multilode.progress import Progress, Stage, reporting, silent
from multilode.representation.batches import BATCH_ATOMS, batch_limits
from multilode.representation.representation import Representation
from multilode.representation.sources.recipes import Fitted
from multilode.workflow.derivatives import Derivatives, derivatives_of, forces_of
from multilode.workflow.evaluated import cross_validation, evaluated
from multilode.workflow.sets import Sets, species_of


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

    Channels of fields are fitted to some of its structures, and contractions where three fields or
    more are multiplied.

    Raises:
        UserError: if the settings do not fit the structures.
    """
    train_set = train_set.with_arrays(config.recipe.arrays)
    plain = config.representation(species_of(train_set))
    representation = for_target(_mixed(config, plain, train_set), config.target)
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


def _mixed(config: Config, representation: Representation, train_set: Dataset) -> Representation:
    """The features with the channels of the configuration."""
    seed = config.data.seed
    if isinstance(config.regression, Network):  # which mixes them itself
        return representation
    try:
        with train_set.naming_frames():
            return config.recipe.prepared(representation, train_set.structures, seed=seed)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"cannot prepare fields: {error}") from error


def run_training(
    config: Config,
    sets: Sets,
    *,
    stage: Stage | None = None,
    checkpoint: Path | None = None,
    tell: Callable[[str], None] | None = None,
) -> TrainingRun:
    """Train a model and evaluate it on all sets.

    Args:
        config: the settings.
        sets: the structures.
        checkpoint: file of the state of a training that goes on from it after it was stopped.
        stage: starts a progress report.
        tell: told what a long fit takes, before it begins.

    Raises:
        UserError: if the data do not suffice or do not fit the settings.
    """
    stage = stage or silent
    derivatives = derivatives_of(config, sets)
    values = {name: references(config, part) for name, part in sets.named.items()}
    predictor = fitted(
        config, sets, values["train"], derivatives["train"], stage, checkpoint=checkpoint, tell=tell
    )
    splits = {
        name: evaluated(config, predictor, name, part, values[name], derivatives[name], stage)
        for name, part in sets.named.items()
    }
    known = cross_validation(config, predictor, splits["train"])
    return TrainingRun(predictor=predictor, splits=splits, cross_validation=known)


def fitted(
    config: Config,
    sets: Sets,
    values: Float[Tensor, "row target"],
    derivatives: Derivatives,
    stage: Stage,
    *,
    checkpoint: Path | None = None,
    tell: Callable[[str], None] | None = None,
) -> Predictor:
    """The model of the training set.

    Args:
        config: the settings.
        sets: the structures, of which only those for training are looked at.
        values: targets of the training set, from `references`.
        derivatives: forces and stresses to learn from.
        stage: starts a progress report.
        checkpoint: file of the state of a training that goes on from it after it was stopped.
        tell: told what a long fit takes, before it begins.

    Raises:
        UserError: if the data do not suffice or do not fit the settings.
    """
    forces, stress = derivatives
    try:
        with limits(memory=config.memory), sets.train.naming_frames(), reporting(stage):
            return train(
                representation_of(config, sets.train),
                sets.train,
                config.target,
                sources=config.recipe.sources,
                y=values,
                estimator=config.estimator,
                baseline=config.baseline,
                groups=group_numbers(config, sets.train),
                forces=forces,
                stress=stress,
                weights=config.data.weights,
                checkpoint=checkpoint,
                progress=_training_progress(config, stage),
                stage=stage,
                tell=tell,
            )
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"cannot train: {error}") from error


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
    estimator, test_set = _checked_for_a_curve(config, sets)
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
        tested = references(config, test_set)
        own, _ = config.target.values(representation, test_set.structures, tested)
        return curve.relative_to(own)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"cannot compute the learning curve: {error}") from error


def _checked_for_a_curve(config: Config, sets: Sets) -> tuple[AbstractEstimator, Dataset]:
    """The estimator and the test set of a learning curve.

    Raises:
        ConfigError: if a setting does not go with learning curves.
    """
    estimator = config.estimator
    if isinstance(estimator, Network):
        raise ConfigError(
            "setting 'estimator': learning curves are those of models that are fitted at once; use "
            "another estimator than a network, such as {kind: ridge}, or train on parts of the data"
        )
    if any(isinstance(one, Fitted) for one in config.recipe.sources.values()):
        raise ConfigError(
            "setting 'fields': a learning curve does not fit sources for each of its subsets; use "
            "sources of the kind described, or train on parts of the data"
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
    return estimator, sets.test


def _learning_data(
    config: Config,
    estimator: AbstractEstimator,
    sets: Sets,
    representation: Representation,
    stage: Stage,
) -> list[LearningData]:
    """Training and test set, whose features are computed once."""
    collected: list[LearningData] = []
    for name, part in sets.named.items():
        with part.naming_frames():
            rest = LearningSet(
                dataset=part,
                target=config.target,
                y=references(config, part),
                forces=forces_of(config, part) if part is sets.train else None,
            )
            rest = rest.with_arrays(representation.arrays).less(model_of(config.plain_baseline))
            learned = learning_data(
                representation,
                rest.structures,
                rest.y,
                target=config.target,
                estimator=estimator,
                groups=group_numbers(config, part),
                maps=collected[0].maps if collected else None,
                forces=rest.forces,
                progress=stage(f"computing features of the {name} set"),
            )
        collected.append(learned)
    return collected


def references(config: Config, dataset: Dataset) -> Float[Tensor, "row target"]:
    """Values of the target, one row for each structure or atom.

    Raises:
        DataError: if one is missing or not finite.
        ConfigError: if forces are to be learned of more than one number.
    """
    target = config.target
    options = config.component, target.tensor, target.per, config.centers
    values = target_values(dataset, target.key, *options, unit=target.unit)
    if config.forces is not None and values.shape[1] != 1:
        raise ConfigError(
            f"setting 'target.forces': forces are the derivatives of one number, '{target.key}' "
            f"has {values.shape[1]}; choose one with target.component, or learn without forces"
        )
    return values


def group_numbers(config: Config, dataset: Dataset) -> Int[Tensor, " structure"] | None:
    """Numbers of the groups that stay together in cross-validation; None without groups."""
    if config.data.group is None:
        return None
    labels = np.array(dataset.labels(config.data.group))
    return torch.from_numpy(np.unique(labels, return_inverse=True)[1].astype(np.int64))


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
