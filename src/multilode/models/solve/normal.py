"""Ridge regression from normal equations, which are added up block of rows by block of rows.

X^T X and X^T y of each fold are all that is kept; without a fold they are the total less those of
the fold, so that cross-validation is exact. The rows themselves are forgotten. Products are squared
condition numbers: regularizations below rounding, 1e-15 of the largest eigenvalue, cannot be had.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.models.solve.descent import Confirmed, best_regularization
from multilode.models.solve.primal import PrimalSolution
from multilode.models.solve.spectrum import regularization_unit
from multilode.models.solve.term_weights import Choice

_COLUMNS = 1024  # of a block of X^T X; half of it is never computed


class NormalEquations:
    """X^T X, X^T y and y^T y of each fold, added up in float64.

    Args:
        widths: number of columns of each term.
        n_folds: number of folds; 1 where nothing is cross-validated.
    """

    def __init__(self, widths: Sequence[int], n_folds: int) -> None:
        p = sum(widths)
        self.widths = tuple(widths)
        self.squares = [torch.zeros(p, p, dtype=torch.float64) for _ in range(n_folds)]
        self.moments = torch.zeros(n_folds, p, dtype=torch.float64)
        self.norms = torch.zeros(n_folds, dtype=torch.float64)
        self.sums = torch.zeros(p, dtype=torch.float64)
        self.n_rows = 0
        self.n_targets = 0

    @staticmethod
    def bytes_for(n_columns: int, n_folds: int) -> float:
        """Memory of the matrices, and of those that a solution needs beside them."""
        return 8.0 * n_columns**2 * (n_folds + 2 if n_folds > 1 else 2)

    def add(
        self, rows: Float[Tensor, "row column"], y: Float[Tensor, " row"], fold: int, n_targets: int
    ) -> None:
        """Add rows of one fold.

        Args:
            rows: targets at the top, weighted derivatives beneath them.
            y: their values.
            fold: to which all of them belong.
            n_targets: number of rows at the top that vary about a mean.
        """
        square = self.squares[fold]
        for first in range(0, rows.shape[1], _COLUMNS):
            own = rows[:, first : first + _COLUMNS]
            square[first : first + _COLUMNS, first:] += own.T @ rows[:, first:]
        self.moments[fold] += (rows.T @ y.to(rows)[:, None])[:, 0]
        self.norms[fold] += float(y.double().square().sum())
        self.sums += rows[:n_targets].double().sum(dim=0)
        self.n_rows += len(rows)
        self.n_targets += n_targets

    def complete(self) -> None:
        """Fill the lower triangles, after the last rows."""
        for square in self.squares:
            for first in range(0, len(square), _COLUMNS):
                stop = first + _COLUMNS
                square[stop:, first:stop] = square[first:stop, stop:].T


@final
@dataclass(frozen=True, kw_only=True)
class NormalFit:
    """A solution, and the weights that were fitted without each fold.

    Args:
        solution: from all rows.
        without: weights of each fold, for features as they come; None without cross-validation.
        judged: root mean squared cross-validated residual over all rows; None without it.
    """

    solution: PrimalSolution
    without: Float[Tensor, "column fold"] | None
    judged: float | None


def solve_normal(equations: NormalEquations, start: Choice, *, is_open: bool) -> NormalFit:
    """Weights of |y - X w|^2 + g |w|^2 / factors, without an intercept.

    The matrices of `equations` are used up.

    Args:
        equations: complete.
        start: term weights, and the relative regularization or a first guess of it.
        is_open: whether the regularization is chosen by cross-validation, near the guess.
    """
    scales = _scales(equations)
    roots = [weight**0.5 / scale for weight, scale in zip(start.term_weights, scales, strict=True)]
    factors = torch.cat(
        [torch.full((n,), root, dtype=torch.float64) for n, root in zip(equations.widths, roots)]
    )
    system = _System.of(equations, factors)
    choice, without, judged = start, None, None
    if is_open:
        found = best_regularization(system.cross_validated, start.regularization)
        choice, judged = _with(start, found), found.error
        without = factors[:, None] * found.detail
    weights = factors * system.fitted(system.total, system.moment, choice.regularization)
    solution = PrimalSolution(
        weights=tuple(part[:, None] for part in weights.split(list(equations.widths))),
        intercept=torch.zeros(1, dtype=torch.float64),
        scales=scales,
        choice=choice,
    )
    return NormalFit(solution=solution, without=without, judged=judged)


def _with(start: Choice, found: Confirmed) -> Choice:
    return Choice(
        term_weights=start.term_weights, regularization=found.regularization, table=start.table
    )


def _scales(equations: NormalEquations) -> tuple[float, ...]:
    """Root mean squared norms of the rows of each term."""
    diagonal = sum(square.diagonal() for square in equations.squares)
    parts = torch.as_tensor(diagonal).split(list(equations.widths))
    norms = [float(part.sum() / equations.n_rows) ** 0.5 for part in parts]
    return tuple(norm if norm > 0 else 1.0 for norm in norms)


@dataclass(kw_only=True)
class _System:
    """Scaled normal equations, with memory for one matrix to factorize."""

    squares: list[Float[Tensor, "column column"]]
    moments: Float[Tensor, "fold column"]
    norms: Float[Tensor, " fold"]
    total: Float[Tensor, "column column"]
    moment: Float[Tensor, " column"]
    work: Float[Tensor, "column column"]
    unit: float
    n_rows: int

    @staticmethod
    def of(equations: NormalEquations, factors: Float[Tensor, " column"]) -> "_System":
        for square in equations.squares:
            square *= factors
            square *= factors[:, None]
        squares = equations.squares
        total = squares[0]
        if len(squares) > 1:
            total = squares[0].clone()
            for square in squares[1:]:
                total += square
        moments = equations.moments * factors
        trace = float(total.diagonal().sum())
        mean = equations.sums * factors
        centered = trace - float(mean.square().sum()) / max(equations.n_targets, 1)
        return _System(
            squares=squares,
            moments=moments,
            norms=equations.norms,
            total=total,
            moment=moments.sum(dim=0),
            work=torch.empty_like(total),
            unit=regularization_unit(centered, trace, equations.n_rows),
            n_rows=equations.n_rows,
        )

    def fitted(
        self, square: Tensor, moment: Float[Tensor, " column"], relative: float
    ) -> Float[Tensor, " column"]:
        """Weights, with more regularization where rounding leaves no positive matrix."""
        info = torch.empty((), dtype=torch.int32)
        added = relative * self.unit
        while True:
            if square is not self.work:
                self.work.copy_(square)
            self.work.diagonal().add_(added)
            torch.linalg.cholesky_ex(self.work, out=(self.work, info))
            if int(info) == 0:
                return torch.cholesky_solve(moment[:, None], self.work)[:, 0]
            added = max(10 * added, 1e-15 * self.unit * self.n_rows)
            if square is self.work:
                return torch.full_like(moment, torch.nan)

    def cross_validated(self, relative: float) -> tuple[float, Float[Tensor, "column fold"]]:
        """Root mean squared residual of rows by weights without their fold, and these weights."""
        error, found = 0.0, []
        for square, moment, norm in zip(self.squares, self.moments, self.norms, strict=True):
            torch.sub(self.total, square, out=self.work)
            weights = self.fitted(self.work, self.moment - moment, relative)
            missed = norm - 2 * (weights @ moment) + weights @ (square @ weights)
            error += float(missed.nan_to_num(nan=torch.inf))
            found.append(weights)
        return (max(error, 0.0) / self.n_rows) ** 0.5, torch.stack(found, dim=1)

