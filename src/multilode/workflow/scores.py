"""The error by which the trials of a search are compared: of structures that a fit did not see.

Of linear models and kernels it is that of a cross-validation within the training set, of networks
that of the part of the training set that is set aside. Groups are never split, and no test set is
known here.

Without forces it is the root mean squared error of the target. With forces it is

    100 sqrt( (e^2 / s_e^2 + f^2 / s_f^2) / 2 ),

where e and f are the root mean squared errors of energies and of components of forces, s_e is the
standard deviation of what the composition leaves of the energies, and s_f that of the components.
Both belong to the data, so that trials with other baselines and weights are measured alike.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.config.config import Config
from multilode.config.errors import ConfigError
from multilode.data.dataset import Dataset
from multilode.errors import UserError
from multilode.models import Network
from multilode.models.network.fit import validation_set
from multilode.models.solve.fold_errors import FoldErrors, best_of_each, folds_kept
from multilode.models.targets import with_unit
from multilode.prediction.baseline import CompositionBaseline
from multilode.prediction.comparison import compare
from multilode.prediction.errors import standard_deviation
from multilode.prediction.evaluation import predict
from multilode.prediction.predictor import Predictor
from multilode.progress import Stage, silent
from multilode.representation.sources.recipes import Fitted
from multilode.symmetry.cartesian import tensor_kind
from multilode.workflow.derivatives import derivatives_of, forces_of
from multilode.workflow.evaluated import rows_of_forces
from multilode.workflow.experiment import fitted, group_numbers, references
from multilode.workflow.sets import Sets


@final
@dataclass(frozen=True, kw_only=True)
class Score:
    """Errors of one trial.

    Args:
        error: by which trials are compared.
        folds: the same of each fold; empty where it is not known.
        target: root mean squared error of the target, in its unit.
        forces: of the components of forces, in unit/Å; None without forces.
    """

    error: float
    folds: tuple[float, ...]
    target: float
    forces: float | None = None


@final
@dataclass(frozen=True)
class Spreads:
    """By what errors are divided where there are energies and forces.

    Args:
        energy: standard deviation of what the composition leaves, in the unit of the target; None
            if it leaves nothing.
        force: standard deviation of the components, in unit/Å.
    """

    energy: float | None
    force: float

    def joined(self, energy: float, force: float) -> float:
        """Both errors as one, in per cent."""
        parts = [(force / self.force) ** 2]
        if self.energy is not None:
            parts.append((energy / self.energy) ** 2)
        return 100 * (sum(parts) / len(parts)) ** 0.5


@final
@dataclass(frozen=True, kw_only=True)
class Judge:
    """Gives configurations their score on one training set.

    Args:
        train: the structures.
        spreads: of energies and forces; None without forces.
        n_folds: parts that are left out one after the other; 1 of networks.
        n_unseen: structures that a score is the error of.
        name: what the score is, with its unit.
    """

    train: Dataset
    spreads: Spreads | None
    n_folds: int
    n_unseen: int
    name: str

    @staticmethod
    def of(config: Config, train: Dataset) -> "Judge":
        """For configurations with this target.

        Args:
            config: the one that is given.
            train: its training set.

        Raises:
            DataError: if a value is missing or not finite.
            ConfigError: if such configurations have no error of unseen structures.
        """
        values = references(config, train)
        if any(isinstance(one, Fitted) for one in config.recipe.sources.values()):
            raise ConfigError(
                "setting 'fields': sources are fitted to all training structures, so that no "
                "cross-validation tells the error of others; use sources of the kind described"
            )
        n_folds, n_unseen = _unseen(config, train)
        what = "RMSE in validation" if n_folds == 1 else "cross-validated RMSE"
        if config.forces is None:
            name, spreads = with_unit(what, config.target.unit), None
        else:
            name, spreads = f"{what} (% of energies and forces)", _spreads(config, train, values)
        return Judge(train=train, spreads=spreads, n_folds=n_folds, n_unseen=n_unseen, name=name)

    def score(
        self, config: Config, *, checkpoint: Path | None = None, stage: Stage | None = None
    ) -> Score:
        """Train with a configuration, and judge it by what it did not see.

        Args:
            config: the settings.
            checkpoint: file of the state of a long training.
            stage: starts a progress report.

        Raises:
            UserError: if the settings do not fit the data, or the error is no number.
        """
        sets = Sets(train=self.train, test=None)
        values, derivatives = references(config, self.train), derivatives_of(config, sets)["train"]
        with folds_kept() as kept:
            made = fitted(config, sets, values, derivatives, stage or silent, checkpoint=checkpoint)
        if isinstance(config.regression, Network):
            target, forces = self._validated(config, made)
            parts = []
        else:
            parts = self._by_fold(config, best_of_each(kept))
            target, forces = _whole(config, self.train, best_of_each(kept), made)
        joined = [self._joined(*part) for part in parts]
        found = Score(
            error=self._joined(target, forces), folds=tuple(joined), target=target, forces=forces
        )
        if not all(map(_is_finite, (found.error, *found.folds))):
            raise UserError("the error is no finite number: the fit is too ill-conditioned")
        return found

    def _joined(self, target: float, forces: float | None) -> float:
        return target if self.spreads is None else self.spreads.joined(target, forces or 0.0)

    def _by_fold(self, config: Config, kept: list[FoldErrors]) -> list[tuple[float, float | None]]:
        """Errors of the target and of forces in each fold."""
        if not kept:
            return []
        factor = _force_factor(config, self.train)
        n = min(len(errors.counts) for errors in kept)
        targets = [
            _root(config, [(e.squares[k], e.counts[k]) for e in kept], kept) for k in range(n)
        ]
        if factor is None:
            return [(own, None) for own in targets]
        below = kept[0].force_squares / kept[0].force_counts.clamp(min=1)
        return [(own, factor * float(f) ** 0.5) for own, f in zip(targets, below, strict=True)]

    def _validated(self, config: Config, made: Predictor) -> tuple[float, float | None]:
        """Errors of the part of the training set that is set aside."""
        part = self.train.select(_apart(config, self.train))
        predicted = predict(made, part, forces=config.forces is not None)
        known = forces_of(config, part)
        errors = compare(
            predicted,
            references(config, part),
            config.target,
            model="trial",
            split="validation",
            structures=part.structures,
            forces=None if known is None else torch.as_tensor(known.values),
        )
        return errors.rows[0].rmse, None if errors.forces is None else errors.forces.rmse


def _whole(
    config: Config, train: Dataset, kept: list[FoldErrors], made: Predictor
) -> tuple[float, float | None]:
    """Errors over all folds; of fits that store no rows those that they know themselves."""
    factor = _force_factor(config, train)
    if kept:
        sums = [(errors.squares.sum(), errors.counts.sum()) for errors in kept]
        below = kept[0].force_squares.sum() / kept[0].force_counts.sum().clamp(min=1)
        forces = None if factor is None else factor * float(below) ** 0.5
        return _root(config, sums, kept), forces
    summary = made.model.summary()
    forces = summary.parts[0].cv_force_rmse
    if summary.cv_rmse is None:
        raise UserError("this fit has no cross-validation; leave regularization out")
    return summary.cv_rmse, None if factor is None or forces is None else factor * forces


def _root(config: Config, sums: list[tuple[Tensor, Tensor]], kept: list[FoldErrors]) -> float:
    """Root mean square over all components from sums for each irrep."""
    means = [float(squares) / max(int(count), 1) for squares, count in sums]
    if config.target.tensor is None:
        return means[0] ** 0.5
    kind = tensor_kind(config.target.tensor)
    sizes = [kind.columns[errors.irrep][0].numel() for errors in kept]
    return (sum(n * mean for n, mean in zip(sizes, means, strict=True)) / kind.size) ** 0.5


def _force_factor(config: Config, train: Dataset) -> float | None:
    if config.forces is None:
        return None
    return rows_of_forces(config.forces, train.structures.counts)


def _spreads(config: Config, train: Dataset, values: Float[Tensor, "row target"]) -> Spreads:
    forces = derivatives_of(replace(config, stress=None), Sets(train=train, test=None))["train"][0]
    known = torch.as_tensor(forces.values) if forces is not None else torch.zeros(1)
    y = values.to(torch.float64)
    rest = y - CompositionBaseline().fit(train.structures, y, reduce="sum").predict(
        train.structures
    )
    own = standard_deviation(rest)
    force = standard_deviation(known.reshape(-1, 1).to(torch.float64))
    if not force > 0:
        raise UserError("all forces are alike, so that there is nothing to learn; check their key")
    return Spreads(energy=own if own > 1e-9 * float(y.abs().max()) else None, force=force)


def _unseen(config: Config, train: Dataset) -> tuple[int, int]:
    """Number of folds, and of structures that are judged."""
    groups = group_numbers(config, train)
    n_groups = len(train) if groups is None else len(groups.unique())
    if isinstance(config.regression, Network):
        apart = _apart(config, train)
        if not apart:
            raise ConfigError(
                "setting 'estimator.validation': a search judges networks by the structures that "
                "are set aside, and there are none; use 0.1 or more, or more structures"
            )
        return 1, len(apart)
    folds = getattr(config.regression, "folds", None)
    n_folds = n_groups if folds is None else min(folds, n_groups)
    if n_folds < 2:
        raise ConfigError(
            "setting 'data': a search judges by cross-validation, for which there are too few "
            f"structures or groups ({n_groups}); add some"
        )
    return n_folds, len(train)


def _apart(config: Config, train: Dataset) -> list[int]:
    if not isinstance(config.regression, Network):
        return []
    return validation_set(len(train), group_numbers(config, train), config.regression)


def _is_finite(value: float) -> bool:
    return value == value and abs(value) != float("inf")
