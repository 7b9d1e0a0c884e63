"""Regularization and weights of the correlation terms, chosen by cross-validation."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, final, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.models.problem import Problem
from multilode.models.solve.cross_validation import make_folds, scan_regularizations
from multilode.models.solve.spectrum import AbstractTermSpectra, Spectrum

_WEIGHT_GRID = (0.0, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_REFINEMENT = 10**0.5
_SWEEPS = 4  # the search stops earlier as soon as one sweep brings nothing

RELATIVE_REGULARIZATIONS = torch.logspace(-12, 3, 31, dtype=torch.float64)


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
    """

    term_weights: tuple[float, ...]
    regularization: float
    rmse: float
    judged: float
    forces: float | None = None


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


def choose(
    spectra: AbstractTermSpectra,
    y: Float[Tensor, "row target"],
    search: Search,
    *,
    groups: Int[Tensor, " row"] | None,
    n_targets: int | None = None,
    force_weight: float | None = None,
) -> Choice:
    """The open settings, chosen by cross-validation on these rows only.

    Args:
        n_targets: number of rows, the first, that are targets; derivatives may follow them. None
            for all.
        force_weight: by which these derivatives are multiplied.

    Raises:
        ValueError: if the rows are too few for cross-validation.
    """
    n_terms, regularization = spectra.n_terms, search.regularization
    term_weights = search.term_weights
    if n_terms == 1:
        term_weights = (1.0,)  # a common factor of weights and regularization has no effect
    if regularization is not None and term_weights is not None:
        return Choice(term_weights=term_weights, regularization=regularization)
    fold_ids = make_folds(len(y), search.folds, search.seed, groups)

    def evaluate(weights: tuple[float, ...]) -> Trial:
        spectrum = replace(spectra.spectrum(weights), n_targets=n_targets)
        return _best_trial(weights, spectrum, y, fold_ids, regularization, force_weight)

    if term_weights is not None:
        table = [evaluate(term_weights)]
    else:
        table = search_term_weights(evaluate, n_terms)
    best = min(table, key=lambda trial: trial.judged)
    return Choice(
        term_weights=best.term_weights, regularization=best.regularization, table=tuple(table)
    )


def _best_trial(
    weights: tuple[float, ...],
    spectrum: Spectrum,
    y: Float[Tensor, "row target"],
    fold_ids: Int[Tensor, " row"],
    regularization: float | None,
    force_weight: float | None,
) -> Trial:
    """The cross-validated error at the given regularization, or at the best one of the grid."""
    grid = RELATIVE_REGULARIZATIONS
    if regularization is not None:
        grid = torch.tensor([regularization], dtype=torch.float64)
    best, judged, rmse, derived = scan_regularizations(spectrum, y, fold_ids, grid).best
    relative = best / spectrum.mean_eigenvalue
    forces = None if force_weight is None else derived / force_weight
    return Trial(
        term_weights=weights, regularization=relative, rmse=rmse, judged=judged, forces=forces
    )


def search_term_weights(
    evaluate: Callable[[tuple[float, ...]], Trial], n_terms: int
) -> list[Trial]:
    """Coordinate search from equal weights over decades and zero, then half decades.

    Each term alone is tried as well, so that the table tells what every term is worth. Weights are
    normalized to a largest value of 1, because their common factor has no effect.

    Source: theory#multiscale; theory#cross-validation.
    """
    trials: dict[tuple[float, ...], Trial] = {}

    def trial(weights: tuple[float, ...]) -> Trial:
        largest = max(weights)
        key = tuple(float(f"{weight / largest:.4g}") for weight in weights)
        if key not in trials:
            trials[key] = evaluate(key)
        return trials[key]

    best = trial((1.0,) * n_terms)
    for term in range(n_terms):
        best = _better(best, trial(tuple(float(k == term) for k in range(n_terms))))
    best = _coordinate_search(trial, best, lambda _: _WEIGHT_GRID)
    _coordinate_search(trial, best, lambda weight: (weight / _REFINEMENT, weight * _REFINEMENT))
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
    return min(table, key=lambda trial: trial.judged).rmse if table else None


def cv_force_rmse(table: tuple[Trial, ...]) -> float | None:
    """The same of forces, of their rows; None if there were none or nothing had to be chosen."""
    return min(table, key=lambda trial: trial.judged).forces if table else None
