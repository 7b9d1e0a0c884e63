"""Ridge regression from accumulated normal equations: choice of settings, and the solution."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.models.solve.fold_errors import folds_wanted
from multilode.models.solve.normal import NormalEquations
from multilode.models.solve.primal import PrimalSolution
from multilode.models.solve.search import RELATIVE_REGULARIZATIONS
from multilode.models.solve.spectrum import regularization_unit
from multilode.models.solve.term_weights import (
    Choice,
    Search,
    Trial,
    search_term_weights,
)
from multilode.progress import begin

_SEARCH_COLUMNS = 900  # combinations with which term weights are chosen; a second for each trial
_ROUNDING = 2e-15  # of eigenvalues, relative to the trace
_POWERS = 2  # of the matrix whose range is taken


@final
@dataclass(frozen=True, kw_only=True)
class NormalFit:
    """A solution, and the weights that were fitted without each fold.

    Args:
        solution: from all rows.
        without: weights of each term without each fold; None without cross-validation.
        judged: root mean squared cross-validated residual over all rows; None without it.
    """

    solution: PrimalSolution
    without: tuple[Float[Tensor, "_ fold"], ...] | None
    judged: float | None


def solve_normal(
    equations: NormalEquations, search: Search, report: Callable[[str], object] | None = None
) -> NormalFit:
    """Weights of |y - X w|^2 + g sum_c s_c^2 |w_c|^2 / weight_c, without an intercept.

    Open term weights are chosen within the leading combinations of the columns of each term; the
    regularization is then confirmed with all columns. Neither needs rows again.

    Source: theory#normal-equations.

    Args:
        equations: with all rows.
        search: given settings, and the choice of the others.
        report: told what is done.
    """
    equations.complete()
    told = report or (lambda _: None)
    system = _System.of(equations)
    choice, judged, without = _given(search, len(equations.widths)), None, None
    if choice is None:
        told("choosing the weights of terms and the regularization")
        choice = _searched(equations, system, search)
        told("confirming the regularization with all features")
        factors = system.factors(choice.term_weights)
        found = _confirmed(system, factors, choice, search)
        choice, judged, without = found[0], found[1], equations.expanded(found[2])
    factors = system.factors(choice.term_weights)
    told("solving the normal equations")
    weights = system.weights(factors, choice, None)
    solution = PrimalSolution(
        weights=equations.expanded(weights[:, None]),
        intercept=torch.zeros(1, dtype=torch.float64),
        scales=system.scales,
        choice=choice,
    )
    return NormalFit(solution=solution, without=without, judged=judged)


def _given(search: Search, n_terms: int) -> Choice | None:
    """The settings, if nothing is open and nobody wants their error."""
    weights = (1.0,) if n_terms == 1 else search.term_weights
    if search.regularization is None or weights is None or folds_wanted():
        return None
    return Choice(term_weights=weights, regularization=search.regularization)


@final
@dataclass(frozen=True, kw_only=True)
class _System:
    """Normal equations with memory for their sum, and for one matrix to factorize."""

    equations: NormalEquations
    scales: tuple[float, ...]
    total: Float[Tensor, "column column"]
    moment: Float[Tensor, " column"]
    work: Float[Tensor, "column column"]

    @staticmethod
    def of(equations: NormalEquations) -> "_System":
        squares = equations.squares
        total = squares[0]
        if len(squares) > 1:
            total = squares[0] + squares[1]
            for square in squares[2:]:
                total += square
        n_rows = max(equations.n_rows, 1)
        norms = [float(trace / n_rows) ** 0.5 for trace in equations.traces]
        return _System(
            equations=equations,
            scales=tuple(norm if norm > 0 else 1.0 for norm in norms),
            total=total,
            moment=equations.moments.sum(dim=0),
            work=torch.empty_like(total),
        )

    def factors(self, term_weights: tuple[float, ...]) -> Float[Tensor, " column"]:
        """By which columns are multiplied, so that their penalties are equal."""
        roots = [weight**0.5 / s for weight, s in zip(term_weights, self.scales, strict=True)]
        sizes = torch.tensor(self.equations.sizes)
        return torch.tensor(roots, dtype=torch.float64).repeat_interleave(sizes)

    def absolute(self, relative: float, term_weights: tuple[float, ...]) -> float:
        """A regularization in the unit of the eigenvalues, not below their rounding."""
        equations = self.equations
        squared = [w / s**2 for w, s in zip(term_weights, self.scales, strict=True)]
        trace = float(equations.traces @ torch.tensor(squared, dtype=torch.float64))
        mean = equations.sums * self.factors(term_weights)
        centered = trace - float(mean.square().sum()) / max(float(equations.counts[1]), 1.0)
        unit = regularization_unit(centered, trace, equations.n_rows)
        return max(relative * unit, _ROUNDING * trace)

    def weights(
        self, factors: Float[Tensor, " column"], choice: Choice, fold: int | None
    ) -> Float[Tensor, " column"]:
        """Of the combinations, from all rows or all but those of a fold."""
        moment = self.moment
        if fold is None:
            self.work.copy_(self.total)
        else:
            torch.sub(self.total, self.equations.squares[fold], out=self.work)
            moment = moment - self.equations.moments[fold]
        self.work.mul_(factors).mul_(factors[:, None])
        added = self.absolute(choice.regularization, choice.term_weights)
        diagonal = self.work.diagonal()
        diagonal += added
        while True:
            root, info = torch.linalg.cholesky_ex(self.work)
            if int(info) == 0:
                return factors * torch.cholesky_solve((factors * moment)[:, None], root)[:, 0]
            diagonal += 9 * added  # rounding left no positive matrix
            added *= 10

    def squared_error(self, weights: Float[Tensor, "column ..."], fold: int) -> Tensor:
        """Of the rows of a fold."""
        return _squared_error(self.equations, fold, weights)


def _squared_error(
    equations: NormalEquations, fold: int, weights: Float[Tensor, "column ..."]
) -> Float[Tensor, "..."]:
    square, moment = equations.squares[fold], equations.moments[fold]
    missed = equations.norms[fold] - 2 * moment @ weights
    return (missed + (weights * (square @ weights)).sum(dim=0)).nan_to_num(nan=torch.inf)


def _confirmed(
    system: _System, factors: Float[Tensor, " column"], start: Choice, search: Search
) -> tuple[Choice, float, Float[Tensor, "column fold"]]:
    """The best regularization near a guess; the error over all rows, and weights without folds."""
    equations = system.equations

    def trial(relative: float) -> tuple[float, float, Tensor]:
        choice, error, found = replace(start, regularization=relative), 0.0, []
        for fold in range(len(equations.squares)):
            weights = system.weights(factors, choice, fold)
            error += float(system.squared_error(weights, fold))
            found.append(weights)
        return (max(error, 0.0) / equations.n_rows) ** 0.5, relative, torch.stack(found, dim=1)

    best = trial(start.regularization)
    if search.regularization is None:
        best = _walked(trial, best)
    return replace(start, regularization=best[1]), best[0], best[2]


def _walked(
    trial: Callable[[float], tuple[float, float, Tensor]], best: tuple[float, float, Tensor]
) -> tuple[float, float, Tensor]:
    """Along the grid of regularizations to the next minimum; stronger first, the safer side."""
    grid = RELATIVE_REGULARIZATIONS.tolist()
    place = min(range(len(grid)), key=lambda k: abs(grid[k] / best[1] - 1))
    for step in (1, -1):
        k, moved = place + step, False
        while 0 <= k < len(grid):
            found = trial(grid[k])
            if not found[0] < best[0]:
                break
            best, k, moved = found, k + step, True
        if moved:
            break
    return best


def _searched(equations: NormalEquations, system: _System, search: Search) -> Choice:
    """Term weights, and a guess of the regularization, with the leading combinations alone."""
    small = _leading(equations, system)
    grid = RELATIVE_REGULARIZATIONS
    if search.regularization is not None:
        grid = torch.tensor([search.regularization], dtype=torch.float64)
    total = torch.stack(small.squares).sum(dim=0)
    moment = small.moments.sum(dim=0)
    sizes = torch.tensor(small.sizes)

    def evaluate(weights: tuple[float, ...]) -> Trial:
        roots = [weight**0.5 / s for weight, s in zip(weights, system.scales, strict=True)]
        factors = torch.tensor(roots, dtype=torch.float64).repeat_interleave(sizes)
        added = torch.tensor([system.absolute(float(g), weights) for g in grid])
        error = torch.zeros(len(grid), dtype=torch.float64)
        for fold, square in enumerate(small.squares):
            rest = (total - square) * factors * factors[:, None]
            values, vectors = torch.linalg.eigh(rest)
            known = vectors.T @ (factors * (moment - small.moments[fold]))
            parts = known[:, None] / (values.clamp(min=0)[:, None] + added)
            error += _squared_error(small, fold, factors[:, None] * (vectors @ parts))
        best = int(error.argmin())
        rmse = float(error[best].clamp(min=0) / equations.n_rows) ** 0.5
        return Trial(term_weights=weights, regularization=float(grid[best]), rmse=rmse, judged=rmse)

    n_terms = len(equations.widths)
    given = (1.0,) if n_terms == 1 else search.term_weights
    if given is not None:
        table = [evaluate(given)]
    else:
        table = search_term_weights(evaluate, n_terms, progress=begin("choosing term weights"))
    best = min(table, key=lambda trial: trial.judged)
    return Choice(term_weights=best.term_weights, regularization=best.regularization)


def _leading(equations: NormalEquations, system: _System) -> NormalEquations:
    """The same in the leading combinations of the columns of each term."""
    each = max(1, _SEARCH_COLUMNS // len(equations.widths))
    turns, first = [], 0
    for size in equations.sizes:
        own = system.total[first : first + size, first : first + size]
        turns.append(_range(own, min(each, size)))
        first += size
    turn = torch.block_diag(*turns)
    return NormalEquations(
        widths=tuple(own.shape[1] for own in turns),
        bases=None,
        squares=[turn.T @ (square @ turn) for square in equations.squares],
        moments=equations.moments @ turn,
        norms=equations.norms,
        sums=equations.sums @ turn,
        traces=equations.traces,
        counts=equations.counts,
    )


def _range(
    matrix: Float[Tensor, "column column"], number: int
) -> Float[Tensor, "column combination"]:
    """Orthonormal columns that span nearly the leading eigenvectors."""
    if number == len(matrix):
        return torch.eye(number, dtype=matrix.dtype)
    generator = torch.Generator().manual_seed(0)
    found = torch.randn(len(matrix), number, generator=generator, dtype=matrix.dtype)
    for _ in range(_POWERS):
        found = torch.linalg.qr(matrix @ found).Q
    return found
