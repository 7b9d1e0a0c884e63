"""Scales of the columns of features, before they are regressed on."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from multilode.models.rows import Rows
from multilode.models.solve.primal import PrimalSolution

Scaling = Literal["none", "root", "standard", "auto"]

POWERS: dict[str, float] = {"none": 0.0, "root": 0.5, "standard": 1.0}  # of the spreads
_LEAST = 1e-6  # spread of a column relative to the largest; of less it is rounding


def check_scaling(scaling: object) -> None:
    """Raise a ValueError if there is no such scaling."""
    if scaling not in (*POWERS, "auto"):
        raise ValueError(
            f"scaling is {scaling!r}; use {', '.join(map(repr, POWERS))}, or 'auto' for the best "
            "of them in cross-validation"
        )


def solve_scaled(
    rows: Rows, scaling: Scaling, solve: Callable[[Rows], PrimalSolution]
) -> tuple[Scaling, PrimalSolution]:
    """The scaling that was chosen, and the solution for features as they come.

    Columns are divided by their spread (the root of their mean square; "standard"), or by its root:
    small ones then count more in the penalty. Weights are for features as they come.

    Source: theory#scaling.

    Args:
        rows: of the regression, those of forces included.
        scaling: "auto" takes what is best in cross-validation.
        solve: the regression.
    """
    names = POWERS if scaling == "auto" else {scaling: POWERS[scaling]}
    found = {name: _solved(rows, power, solve) for name, power in names.items()}
    best: Any = min(found, key=lambda name: _error(found[name]))
    return best, found[best]


def _solved(rows: Rows, power: float, solve: Callable[[Rows], PrimalSolution]) -> PrimalSolution:
    if power == 0:
        return solve(rows)
    factors = [column_factors(term, power) for term in rows.terms]
    pairs = zip(rows.terms, factors, strict=True)
    solution = solve(replace(rows, terms=tuple(term * factor for term, factor in pairs)))
    weights = zip(solution.weights, factors, strict=True)
    return replace(solution, weights=tuple(own * factor[:, None] for own, factor in weights))


def column_factors(term: Float[Tensor, "row column"], power: float) -> Float[Tensor, " column"]:
    """Inverse powers of the spreads of columns, differentiable; columns without any get the most.

    Source: theory#scaling.

    Args:
        term: features.
        power: of the spreads.
    """
    squares = term.square().mean(dim=0)
    largest = float(squares.detach().max()) if len(squares) else 0.0
    return squares.clamp(min=max(_LEAST**2 * largest, 1e-300)).pow(-power / 2)


def _error(solution: PrimalSolution) -> float:
    """That of the best trial; without trials all scalings are alike."""
    return min((trial.judged for trial in solution.choice.table), default=0.0)
