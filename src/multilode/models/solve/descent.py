"""The best regularization near a guess, where every trial is a decomposition of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

from multilode.models.solve.term_weights import RELATIVE_REGULARIZATIONS


@final
@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """A regularization with its cross-validated error.

    Args:
        regularization: relative to the mean eigenvalue of the kernel.
        error: of it.
        detail: what was found with the error.
    """

    regularization: float
    error: float
    detail: Any


def best_regularization(
    evaluate: Callable[[float], tuple[float, Any]], guess: float
) -> Confirmed:
    """Walk down the grid of regularizations from the guess, to the next minimum.

    Args:
        evaluate: gives the error of a relative regularization, and what else is to be kept.
        guess: where to begin.
    """
    grid = RELATIVE_REGULARIZATIONS.tolist()
    place = min(range(len(grid)), key=lambda k: abs(grid[k] / guess - 1) if guess > 0 else k)

    def trial(k: int) -> Confirmed:
        error, detail = evaluate(grid[k])
        return Confirmed(regularization=grid[k], error=error, detail=detail)

    best, moved = trial(place), False
    for step in (1, -1):  # stronger first: it is the safer side
        k = place + step
        while 0 <= k < len(grid):
            found = trial(k)
            if not found.error < best.error:
                break
            best, k, moved = found, k + step, True
        if moved:
            break
    return best
