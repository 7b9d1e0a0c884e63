"""Sparse kernel regression on many amino acids and few dipeptides, judged by the dipeptides.

What is left open is chosen by cross-validation among the training dipeptides: all amino acids and
four fifths of the dipeptides predict the rest. Random folds of everything would ask how well amino
acids are interpolated, for 99 of 100 training structures are one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from multilode.models import RELATIVE_REGULARIZATIONS, ThinSVD, make_folds

_DECADES, _HALF_DECADES = (1e-2, 1e-1), (10**-0.5, 10**0.5)


@final
@dataclass(frozen=True, kw_only=True)
class Rows:
    """Features and targets; structures have one row for each component m.

    Args:
        terms: features of each correlation, whose scalar products are its kernel.
        y: targets.
        judged: structures that the cross-validation leaves out in turn (the dipeptides).
        components: number of rows of a structure.
    """

    terms: tuple[Float[Tensor, "row _"], ...]
    y: Float[Tensor, "row 1"]
    judged: Bool[Tensor, " structure"]
    components: int = 1

    def of_terms(self, numbers: Sequence[int]) -> "Rows":
        """With some of the terms only."""
        return replace(self, terms=tuple(self.terms[k] for k in numbers))

    def select(self, chosen: Int[Tensor, " chosen"]) -> "Rows":
        """Some of the structures."""
        rows = (chosen[:, None] * self.components + torch.arange(self.components)).flatten()
        return replace(
            self,
            terms=tuple(term[rows] for term in self.terms),
            y=self.y[rows],
            judged=self.judged[chosen],
        )

    @property
    def scales(self) -> tuple[float, ...]:
        """Mean square of the features of each term."""
        return tuple(float(x.square().sum(dim=1).mean()) or 1.0 for x in self.terms)


@final
@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Weights of all features, and how they were chosen.

    Args:
        weights: of the features of all terms side by side.
        term_weights: of the kernels, the largest is 1.
        regularization: relative to the mean eigenvalue of the weighted kernel.
        rmse: error of the training dipeptides that were left out.
        trials: this error of all term weights that were tried.
    """

    weights: Float[Tensor, "column 1"]
    term_weights: tuple[float, ...]
    regularization: float
    rmse: float
    trials: tuple[tuple[tuple[float, ...], float], ...]

    def predict(self, terms: Sequence[Float[Tensor, "row _"]]) -> Float[Tensor, "row 1"]:
        """Predictions for features of new structures."""
        return torch.cat(tuple(terms), dim=1) @ self.weights

    def settings(self) -> dict[str, Any]:
        """Chosen settings, in plain types."""
        return {
            "term_weights": list(self.term_weights),
            "regularization": self.regularization,
            "cv_rmse": self.rmse,
            "trials": [{"term_weights": list(w), "cv_rmse": e} for w, e in self.trials],
        }


def fit_rows(
    rows: Rows,
    *,
    term_weights: tuple[float, ...] | None = None,
    folds: int = 5,
    seed: int = 0,
) -> Fitted:
    """Fit to all rows; regularization, and term weights if not given, by the judged structures.

    Args:
        rows: the training set.
        term_weights: of the kernels; None for a search over decades, then half decades.
        folds: into which the judged structures are divided; 1 leaves out all of them at once.
        seed: of the folds.
    """
    n = int(rows.judged.sum())
    numbers = make_folds(n, folds, seed) if folds > 1 else torch.zeros(n, dtype=torch.int64)
    problem = _Problem.of(rows, numbers.repeat_interleave(rows.components))
    given = (1.0,) * len(rows.terms) if len(rows.terms) == 1 else term_weights
    trials: dict[tuple[float, ...], _Trial] = {}
    for weights in [given] if given else _search(trials, len(rows.terms)):
        if weights not in trials:
            trials[weights] = problem.trial(weights)
    best = min(trials, key=lambda w: trials[w].rmse)
    return Fitted(
        weights=problem.solve(best, trials[best].regularization),
        term_weights=best,
        regularization=trials[best].regularization,
        rmse=trials[best].rmse,
        trials=tuple((w, t.rmse) for w, t in trials.items()),
    )


@final
@dataclass(frozen=True, kw_only=True)
class _Trial:
    regularization: float
    rmse: float


def _search(trials: dict[tuple[float, ...], _Trial], n_terms: int) -> Iterator[tuple[float, ...]]:
    """Equal weights, then one weight after the other changed by decades and half decades."""
    yield (1.0,) * n_terms
    for term in range(n_terms):
        for factors in (_DECADES, _HALF_DECADES):
            start = min(trials, key=lambda w: trials[w].rmse)
            for factor in factors:
                yield _scaled(start, term, factor)


def _scaled(weights: tuple[float, ...], term: int, factor: float) -> tuple[float, ...]:
    changed = [w * factor if k == term else w for k, w in enumerate(weights)]
    return tuple(float(f"{w / max(changed):.4g}") for w in changed)


@final
@dataclass(frozen=True, kw_only=True)
class _Problem:
    """Amino acids as a triangle (their only trace in least squares), dipeptides as they are."""

    triangle: Float[Tensor, "other column"]
    triangle_y: Float[Tensor, "other 1"]
    judged: Float[Tensor, "judged column"]
    judged_y: Float[Tensor, "judged 1"]
    folds: Int[Tensor, " judged"]
    widths: tuple[int, ...]
    scales: tuple[float, ...]

    @staticmethod
    def of(rows: Rows, folds: Int[Tensor, " judged"]) -> "_Problem":
        stack = torch.cat([*rows.terms, rows.y], dim=1)
        mask = rows.judged.repeat_interleave(rows.components)
        judged, others = stack[mask], stack[~mask]
        triangle = others
        if len(others) > stack.shape[1]:
            triangle = torch.linalg.qr(others, mode="r").R
        return _Problem(
            triangle=triangle[:, :-1],
            triangle_y=triangle[:, -1:],
            judged=judged[:, :-1],
            judged_y=judged[:, -1:],
            folds=folds,
            widths=tuple(term.shape[1] for term in rows.terms),
            scales=rows.scales,
        )

    def _factors(self, weights: tuple[float, ...]) -> Float[Tensor, " column"]:
        own = [(w / s) ** 0.5 for w, s in zip(weights, self.scales, strict=True)]
        return torch.tensor(own, dtype=torch.float64).repeat_interleave(torch.tensor(self.widths))

    def _stack(self, weights: tuple[float, ...]) -> tuple[Tensor, Tensor]:
        x = torch.cat([self.triangle, self.judged]) * self._factors(weights)
        return x, torch.cat([self.triangle_y, self.judged_y])

    def trial(self, weights: tuple[float, ...]) -> _Trial:
        """The regularization with the smallest error of dipeptides that were left out.

        Their residuals are (1 - H)_FF^-1 (y - H y)_F for a fold F and the smoother H.
        """
        x, y = self._stack(weights)
        left, singular, _ = torch.linalg.svd(x, full_matrices=False)
        here, along = left[len(self.triangle) :], left.T @ y
        errors = []
        for g in (RELATIVE_REGULARIZATIONS * sum(weights)).tolist():
            kept = singular.square() / (singular.square() + g)
            plain = self.judged_y - here @ (kept[:, None] * along)
            errors.append(self._left_out(here, kept, plain))
        best = min(range(len(errors)), key=errors.__getitem__)
        regularization = float(RELATIVE_REGULARIZATIONS[best])
        return _Trial(regularization=regularization, rmse=errors[best])

    def _left_out(self, here: Tensor, kept: Tensor, plain: Tensor) -> float:
        total = 0.0
        for fold in self.folds.unique().tolist():
            rows = self.folds == fold
            own = here[rows]
            inner = torch.eye(len(own), dtype=own.dtype) - (own * kept) @ own.T
            total += float(torch.linalg.solve(inner, plain[rows]).square().sum())
        return (total / len(plain)) ** 0.5

    def solve(self, weights: tuple[float, ...], regularization: float) -> Float[Tensor, "column 1"]:
        """Weights of the features as they were given."""
        x, y = self._stack(weights)
        thin = ThinSVD.of(x, y, intercept=False)
        found = thin.solve(regularization * sum(weights))[0]
        return found * self._factors(weights)[:, None]
