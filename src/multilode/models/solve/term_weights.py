"""Regularization and weights of the correlation terms: what is given, and how weights are tried."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

from multilode.models.problem import Problem
from multilode.progress import Progress

_WEIGHT_GRID = (0.0, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_REFINEMENT = 10**0.5
_SWEEPS = 4  # the search stops earlier as soon as one sweep brings nothing


@final
@dataclass(frozen=True, kw_only=True)
class Trial:
    """One row of the cross-validation table.

    Args:
        term_weights: weight of each term, the largest is 1.
        regularization: best one, relative to the mean eigenvalue of the weighted kernel.
        rmse: cross-validated error in the unit of the target.
        judged: the error by which trials are compared, that of weighted forces included.
        forces: cross-validated error of the rows of forces, in unit/Å; None if there are none.
        n_rows: number of rows that it was judged on; 0 if it is not known.
    """

    term_weights: tuple[float, ...]
    regularization: float
    rmse: float
    judged: float
    forces: float | None = None
    n_rows: int = 0


@final
@dataclass(frozen=True, kw_only=True)
class Choice:
    """Regularization and term weights of a fit.

    Args:
        term_weights: weight of each term.
        regularization: relative to the mean eigenvalue of the weighted kernel.
        table: all trials of the cross-validation; empty if nothing had to be chosen.
    """

    term_weights: tuple[float, ...]
    regularization: float
    table: tuple[Trial, ...] = ()


@runtime_checkable
class HasSearch(Protocol):
    """An estimator with the usual settings."""

    @property
    def regularization(self) -> float | None:
        """Relative to the mean eigenvalue of the kernel; None for cross-validation."""
        ...

    @property
    def term_weights(self) -> tuple[float, ...] | None:
        """One per term; None for cross-validation."""
        ...

    @property
    def folds(self) -> int | None:
        """Number of folds, None for leave-one-out."""
        ...

    @property
    def seed(self) -> int:
        """Seed of the folds."""
        ...


GIVEN = Choice(term_weights=(), regularization=0.0)  # of methods that have neither


@final
@dataclass(frozen=True, kw_only=True)
class Search:
    """Given settings of a regression, and the cross-validation that chooses the others.

    Args:
        regularization: relative to the mean eigenvalue of the kernel; None for cross-validation.
        term_weights: one per term; None for cross-validation.
        folds: number of folds, None for leave-one-out.
        seed: of the folds and of rows that are drawn.
    """

    regularization: float | None
    term_weights: tuple[float, ...] | None
    folds: int | None
    seed: int

    @staticmethod
    def of(settings: HasSearch, problem: Problem) -> "Search":
        """From the settings of an estimator: those of the terms that have the irrep.

        Raises:
            ValueError: if the number of weights is not that of the terms.
        """
        weights = settings.term_weights
        return Search(
            regularization=settings.regularization,
            term_weights=None if weights is None else problem.pick(weights, "term weights"),
            folds=settings.folds,
            seed=settings.seed,
        )


def check_settings(
    regularization: float | None, term_weights: tuple[float, ...] | None, folds: int | None
) -> None:
    """Raise a ValueError that names the first setting that is out of range."""
    if regularization is not None and not 0 < regularization < float("inf"):
        raise ValueError(
            f"regularization is {regularization}; it must be larger than 0 (relative to the mean "
            "eigenvalue), or None to choose it by cross-validation"
        )
    if term_weights is not None and not (
        term_weights
        and all(0 <= weight < float("inf") for weight in term_weights)
        and any(weight > 0 for weight in term_weights)
    ):
        raise ValueError(
            f"term_weights are {term_weights}; give one number >= 0 per term, at least one of them "
            "larger than 0, or None to choose them by cross-validation"
        )
    if folds is not None and folds < 2:
        raise ValueError(f"folds is {folds}; use 2 or more, or None to leave out one at a time")


def search_term_weights(
    evaluate: Callable[[tuple[float, ...]], Trial], n_terms: int, *, progress: Progress
) -> list[Trial]:
    """Coordinate search from equal weights over decades and zero, then half decades.

    Each term alone is tried as well, so that the table tells what every term is worth. Weights are
    normalized to a largest value of 1, because their common factor has no effect.

    Source: theory#multiscale; theory#cross-validation.

    Args:
        evaluate: the trial of some weights.
        n_terms: number of terms.
        progress: called after each trial; in all there are those of one sweep over decades and one
            over half decades, and more if sweeps are repeated.
    """
    trials: dict[tuple[float, ...], Trial] = {}
    expected = 1 + n_terms * (1 + len(_WEIGHT_GRID) - 1 + 2)

    def trial(weights: tuple[float, ...]) -> Trial:
        largest = max(weights)
        key = tuple(float(f"{weight / largest:.4g}") for weight in weights)
        if key not in trials:
            trials[key] = evaluate(key)
            progress(len(trials), max(expected, len(trials) + 1))
        return trials[key]

    best = trial((1.0,) * n_terms)
    for term in range(n_terms):
        best = _better(best, trial(tuple(float(k == term) for k in range(n_terms))))
    best = _coordinate_search(trial, best, lambda _: _WEIGHT_GRID)
    _coordinate_search(trial, best, lambda weight: (weight / _REFINEMENT, weight * _REFINEMENT))
    progress(len(trials), len(trials))
    return list(trials.values())


def _coordinate_search(
    trial: Callable[[tuple[float, ...]], Trial],
    best: Trial,
    candidates: Callable[[float], tuple[float, ...]],
) -> Trial:
    """Change one weight at a time until a sweep over all of them brings nothing."""
    for _ in range(_SWEEPS):
        before = best
        for term in range(len(best.term_weights)):
            for weight in candidates(best.term_weights[term]):
                weights = list(best.term_weights)
                weights[term] = weight
                if max(weights) > 0:
                    best = _better(best, trial(tuple(weights)))
        if best is before:
            break
    return best


def _better(first: Trial, second: Trial) -> Trial:
    return second if second.judged < first.judged else first


def cv_rmse(table: tuple[Trial, ...]) -> float | None:
    """Cross-validated error of the chosen settings; None if nothing had to be chosen."""
    best = _chosen(table)
    return None if best is None else best.rmse


def cv_force_rmse(table: tuple[Trial, ...]) -> float | None:
    """The same of forces, of their rows; None if there were none or nothing had to be chosen."""
    best = _chosen(table)
    return None if best is None else best.forces


def _chosen(table: tuple[Trial, ...]) -> Trial | None:
    """The best of the trials on most rows; of a search on some, the one confirmed on all."""
    most = max((trial.n_rows for trial in table), default=0)
    confirmed = (trial for trial in table if trial.n_rows == most)
    return min(confirmed, key=lambda trial: trial.judged, default=None)
