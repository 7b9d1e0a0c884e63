"""Training and test sets of a configuration, from files."""

from dataclasses import dataclass
from typing import final

import numpy as np

from multilode.config.config import Config
from multilode.config.errors import ConfigError
from multilode.data.dataset import DataError, Dataset, random_split
from multilode.data.io import read
from multilode.data.structure_checks import check_species
from multilode.progress import Stage, silent


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

    @property
    def named(self) -> dict[str, Dataset]:
        """The sets that there are, by name."""
        return {"train": self.train} | ({} if self.test is None else {"test": self.test})


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
    train_set, test_set = _of_training_files(config, stage)
    if data.test:
        test_set = read(data.test, progress=stage("reading test structures"))
    if test_set is not None:
        if len(test_set) == 0:
            raise ConfigError(
                "setting 'data': the test set is empty; make it larger or leave it out"
            )
        _check_elements(config, train_set, test_set)
    return Sets(train=train_set, test=test_set)


def load_training_set(config: Config, *, stage: Stage | None = None) -> Dataset:
    """Read the training set alone, and no file of the test set.

    Args:
        config: the settings.
        stage: starts a progress report.

    Raises:
        DataError: if a file or a structure cannot be used.
    """
    return _of_training_files(config, stage or silent)[0]


def _of_training_files(config: Config, stage: Stage) -> tuple[Dataset, Dataset | None]:
    """Training set, and the test set where both are in the same files."""
    data = config.data
    found = read(data.train, progress=stage("reading structures"))
    if data.split is not None:
        return _split_by_key(found, data.split)
    if data.test_fraction == 0:
        return found, None
    groups = None if data.group is None else found.labels(data.group)
    try:
        chosen = random_split(len(found), data.test_fraction, seed=data.seed, groups=groups)
    except ValueError as error:
        raise ConfigError(f"setting 'data.test_fraction': {error}") from error
    train_set, test_set = (found.select(indices) for indices in chosen)
    return train_set, test_set


def _check_elements(config: Config, train_set: Dataset, test_set: Dataset) -> None:
    """The training set has all elements of the test set, wherever this comes from."""
    try:
        check_species(test_set, species_of(train_set))
    except DataError as error:
        if config.data.test_fraction == 0:
            raise
        raise DataError(
            f"{error.problem.split(',')[0]}, which data.test_fraction has drawn into the test set "
            "only",
            remedy="choose another data.seed or a smaller data.test_fraction, add structures with "
            "this element, or name the sets with data.split",
            file=error.file,
            frame=error.frame,
        ) from error


def species_of(dataset: Dataset) -> tuple[int, ...]:
    """The atomic numbers in a data set, ascending."""
    return tuple(dataset.structures.species.unique().tolist())


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
