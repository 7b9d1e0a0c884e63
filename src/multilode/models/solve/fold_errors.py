"""Errors of each fold of a cross-validation, kept where somebody compares whole models."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.symmetry.irrep import Irrep

MOST_PARTS = 20  # more folds, such as single structures, are put together into ten
_PARTS = 10


@final
@dataclass(frozen=True, kw_only=True)
class FoldErrors:
    """Squared residuals of one regression, each by the fit that did not see its fold.

    Args:
        irrep: the rows are its components.
        judged: sum of all squares, in the unit of the fit.
        squares: sum over the targets of each fold.
        counts: numbers of targets that were added up.
        force_squares: sum over the rows of forces of each fold, in unit/Å; zeros without forces.
        force_counts: numbers of these rows.
    """

    irrep: Irrep
    judged: float
    squares: Float[Tensor, " fold"]
    counts: Int[Tensor, " fold"]
    force_squares: Float[Tensor, " fold"]
    force_counts: Int[Tensor, " fold"]

    @staticmethod
    def of(
        irrep: Irrep,
        residuals: Float[Tensor, "row target"],
        folds: Int[Tensor, " row"],
        n_targets: int,
        force_weight: float | None,
    ) -> "FoldErrors":
        """From the residuals of targets, and of weighted forces beneath them.

        Args:
            irrep: of the rows.
            residuals: of the rows, without their fold.
            folds: fold of each row.
            n_targets: number of rows at the top that have targets.
            force_weight: by which the rows beneath are multiplied.
        """
        if int(folds.max()) >= MOST_PARTS:
            folds = folds % _PARTS
        n, squares = int(folds.max()) + 1, residuals.square().sum(dim=1)
        first, below = slice(None, n_targets), slice(n_targets, None)
        columns = residuals.shape[1]
        weight = 1.0 if force_weight is None else force_weight
        zeros = squares.new_zeros(n)
        return FoldErrors(
            irrep=irrep,
            judged=float(squares.sum()),
            squares=zeros.index_add(0, folds[first], squares[first]),
            counts=torch.bincount(folds[first], minlength=n) * columns,
            force_squares=zeros.index_add(0, folds[below], squares[below] / weight**2),
            force_counts=torch.bincount(folds[below], minlength=n) * columns,
        )


_KEPT: ContextVar[list[FoldErrors] | None] = ContextVar("fold errors", default=None)


@contextmanager
def folds_kept() -> Iterator[list[FoldErrors]]:
    """Cross-validate every fit in the block, also where nothing has to be chosen.

    The list that it gives has the errors of all folds of each fit that stores its rows.
    """
    kept: list[FoldErrors] = []
    token = _KEPT.set(kept)
    try:
        yield kept
    finally:
        _KEPT.reset(token)


def folds_wanted() -> bool:
    """Whether somebody compares the errors of folds here."""
    return _KEPT.get() is not None


def keep_folds(errors: FoldErrors) -> None:
    """Give the errors to those who asked for them."""
    kept = _KEPT.get()
    if kept is not None:
        kept.append(errors)


def best_of_each(kept: list[FoldErrors]) -> list[FoldErrors]:
    """Of several fits of one irrep, such as those with other scales of columns, the best."""
    found: dict[Irrep, FoldErrors] = {}
    for errors in kept:
        best = found.get(errors.irrep)
        if best is None or errors.judged < best.judged:
            found[errors.irrep] = errors
    return list(found.values())
