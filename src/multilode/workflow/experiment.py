"""Training runs and learning curves of a configuration, from files to results."""

import warnings
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.config.config import Config
from multilode.config.errors import ConfigError
from multilode.config.settings import ForceSettings
from multilode.data.dataset import DataError, Dataset, random_split
from multilode.data.io import read
from multilode.data.structure_checks import check_species
from multilode.errors import DataWarning, UserError, renumber_errors
from multilode.models import TargetRegression
from multilode.models.targets import Forces
from multilode.prediction.errors import ErrorRow
from multilode.prediction.evaluation import Errors, compare, predict
from multilode.prediction.learning import LearningCurve, LearningData, fit_subsets, learning_data
from multilode.prediction.predictor import Prediction, Predictor
from multilode.prediction.reference_values import force_values, target_values
from multilode.prediction.training import train
from multilode.progress import Progress, Stage, silent
from multilode.representation.batches import BATCH_ATOMS, batch_limits
from multilode.representation.channel_fit import with_channels
from multilode.representation.representation import Representation


@final
@dataclass(frozen=True, kw_only=True)
class Sets:
    """The structures of a configuration.

    Args:
        train: training set.
        test: test set; None if the configuration names no test set.
    """

    train: Dataset
    test: Dataset | None


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


def load_sets(config: Config, *, stage: Stage | None = None) -> Sets:
    """Read the training set and the test set.

    Args:
        config: the settings.
        stage: starts a progress report.

    Raises:
        DataError: if a file or a structure cannot be used, or the test set has an element that
            the training set lacks.
    """
    stage = stage or silent
    data = config.data
    train_set = read(data.train, progress=stage("reading structures"))
    test_set = read(data.test, progress=stage("reading test structures")) if data.test else None
    if data.split is not None:
        train_set, test_set = _split_by_key(train_set, data.split)
    elif data.test_fraction > 0:
        groups = None if data.group is None else train_set.labels(data.group)
        try:
            chosen = random_split(len(train_set), data.test_fraction, seed=data.seed, groups=groups)
        except ValueError as error:
            raise ConfigError(f"setting 'data.test_fraction': {error}") from error
        train_set, test_set = (train_set.select(indices) for indices in chosen)
    if test_set is not None:
        if len(test_set) == 0:
            raise ConfigError(
                "setting 'data': the test set is empty; make it larger or leave it out"
            )
        check_species(test_set, species_of(train_set))
    return Sets(train=train_set, test=test_set)


def species_of(dataset: Dataset) -> tuple[int, ...]:
    """The atomic numbers in a data set, ascending."""
    return tuple(dataset.structures.species.unique().tolist())


def representation_of(config: Config, train_set: Dataset) -> Representation:
    """The features of a configuration for the species of its training set.

    Channels are fitted to some of its structures, and contractions where three fields or more are
    multiplied.

    Raises:
        UserError: if the settings do not fit the structures.
    """
    representation = config.representation(species_of(train_set))
    with train_set.naming_frames():
        representation = with_channels(
            representation, train_set.structures, config.recipe.channels, seed=config.data.seed
        )
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


def run_training(config: Config, sets: Sets, *, stage: Stage | None = None) -> TrainingRun:
    """Train a model and evaluate it on all sets.

    Args:
        config: the settings.
        sets: the structures.
        stage: starts a progress report.

    Raises:
        UserError: if the data do not suffice or do not fit the settings.
    """
    stage = stage or silent
    references = {name: _references(config, part) for name, part in _named(sets).items()}
    forces = _forces(config, sets)
    try:
        with sets.train.naming_frames():
            predictor = train(
                representation_of(config, sets.train),
                sets.train,
                config.target,
                y=references["train"],
                estimator=config.estimator,
                baseline=config.baseline,
                groups=_group_numbers(config, sets.train),
                forces=forces["train"],
                progress=_then(stage, "computing features", "fitting the model"),
            )
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"cannot train: {error}") from error
    return TrainingRun(
        predictor=predictor,
        splits={
            name: _evaluated(config, predictor, name, part, references[name], forces[name], stage)
            for name, part in _named(sets).items()
        },
        cross_validation=_cross_validation(config, predictor, references["train"]),
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
        std=config.committee is not None,
        forces=config.forces is not None,
    )
    compared = None if forces is None else torch.as_tensor(forces.values)
    errors = compare(
        predicted,
        reference,
        model=config.name,
        split=name,
        unit=config.target.unit,
        groups=_labels(config, part),
        tensor=config.target.tensor,
        forces=compared,
    )
    return Evaluated(
        dataset=part, reference=reference, predicted=predicted, errors=errors, forces=compared
    )


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
    if sets.test is None:
        raise ConfigError(
            "a learning curve needs a test set; set data.test, data.test_fraction or data.split"
        )
    sizes = config.learning_curve.sizes or _default_sizes(len(sets.train))
    representation = representation_of(config, sets.train)
    try:
        return fit_subsets(
            TargetRegression(target=config.target, estimator=config.estimator),
            *_learning_data(config, sets, representation, stage),
            sizes=sorted(set(sizes)),
            repeats=config.learning_curve.repeats,
            seed=config.learning_curve.seed,
            baseline=config.baseline,
            progress=stage("training on subsets"),
        )
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"cannot compute the learning curve: {error}") from error


def _learning_data(
    config: Config, sets: Sets, representation: Representation, stage: Stage
) -> list[LearningData]:
    """Training and test set, whose features are computed once."""
    collected: list[LearningData] = []
    for name, part in _named(sets).items():
        y = _references(config, part)
        with part.naming_frames():
            learned = learning_data(
                representation,
                part.structures,
                y,
                target=config.target,
                estimator=config.estimator,
                groups=_group_numbers(config, part),
                maps=collected[0].maps if collected else None,
                forces=_forces_of(config.forces, part) if part is sets.train else None,
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
    labels = dataset.labels(config.data.group)
    if config.target.per == "structure":
        return list(labels)
    return [labels[i] for i in dataset.structures.structure_index.tolist()]


def _named(sets: Sets) -> dict[str, Dataset]:
    return {"train": sets.train} | ({} if sets.test is None else {"test": sets.test})


def _split_by_key(dataset: Dataset, key: str) -> tuple[Dataset, Dataset]:
    labels = np.array(dataset.labels(key))
    other = np.flatnonzero(~np.isin(labels, ["train", "test"]))
    if len(other) or not (labels == "train").any():
        file, frame = dataset.source[int(other[0]) if len(other) else 0]
        raise DataError(
            f"the value is '{labels[other[0]]}'" if len(other) else "no structure says 'train'",
            remedy="with data.split every structure must say 'train' or 'test'",
            file=file,
            frame=frame,
            key=key,
        )
    parts = (np.flatnonzero(labels == name) for name in ("train", "test"))
    first, second = (dataset.select(indices) for indices in parts)
    return first, second


def _group_numbers(config: Config, dataset: Dataset) -> Int[Tensor, " structure"] | None:
    if config.data.group is None:
        return None
    labels = np.array(dataset.labels(config.data.group))
    return torch.from_numpy(np.unique(labels, return_inverse=True)[1].astype(np.int64))


def _cross_validation(
    config: Config, predictor: Predictor, reference: Float[Tensor, "structure target"]
) -> Errors | None:
    best = predictor.model.summary().cv_rmse
    if best is None:
        return None
    deviation = float(reference.std(dim=0, correction=0).square().mean().sqrt())
    row = ErrorRow(
        group="all",
        n=len(reference),
        rmse=best,
        mae=float("nan"),
        rmse_percent=100 * best / deviation if deviation > 0 else float("nan"),
    )
    return Errors(model=config.name, split="cross-validation", unit=config.target.unit, rows=(row,))


def _default_sizes(n: int) -> list[int]:
    """Up to five sizes, each twice the one before, the last of them all structures."""
    return sorted({n // 2**k for k in range(5) if n // 2**k >= min(n, 10)})


def _then(stage: Stage, first: str, second: str) -> Progress:
    """Report the first stage; what follows it reports no progress of its own."""
    report = stage(first)

    def progress(done: int, total: int) -> None:
        report(done, total)
        if done == total:
            stage(second)

    return progress
